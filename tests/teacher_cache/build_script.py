"""Builds a store in separate processes, which can be killed. Tests and a benchmark run it.

python -m tests.teacher_cache.build_script FOLDER
"""

from __future__ import annotations

import multiprocessing
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path

from torch import Tensor

from limbeck.core.signals import AnySignal
from limbeck.teacher_cache import IncrementalStore, StoreBuilder
from limbeck.utils import distributed
from tests.teacher_cache import examples

SAMPLES, VIEWS, ROWS = 200, 3, 30


def build(folder: Path, pause: float = 0.0, started: Connection | None = None) -> None:
    """Build the store; a batch takes the teacher `pause` seconds. Sends to `started` when the folder is locked."""

    def give(keys: Tensor, view: int) -> dict[str, AnySignal]:
        time.sleep(pause)
        return examples.signals(keys, view)

    with StoreBuilder(
        folder, examples.keys(SAMPLES), VIEWS, examples.CODECS, examples.IDENTITY, rows_per_shard=ROWS
    ) as builder:
        if started is not None:
            started.send(True)
        examples.fill(builder, give, rank=distributed.rank(), world=distributed.world_size())


def fill(folder: Path) -> None:
    """Fill an incremental store, each process its share."""
    keys = examples.keys(SAMPLES)
    with IncrementalStore(
        folder, keys, VIEWS, examples.CODECS, examples.IDENTITY, rows_per_shard=ROWS, rows_per_file=25
    ) as store:
        for view in range(VIEWS):
            for part in keys[distributed.rank() :: distributed.world_size()].split(16):
                store.append(part, view, examples.signals(part, view))
        store.compact()


def killed(folder: Path, pause: float, after: float) -> bool:
    """Build in a process that is killed after `after` seconds of work; returns whether it was still running."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.teacher_cache.build_script"])  # torch is imported once, not in every process
    here, there = context.Pipe()
    process = context.Process(target=build, args=(folder, pause, there))
    process.start()
    here.recv()
    process.join(after)
    running = process.is_alive()
    process.kill()
    process.join()
    return running


if __name__ == "__main__":
    distributed.initialize()
    build(Path(sys.argv[1]) / "built")
    fill(Path(sys.argv[1]) / "incremental")
    distributed.exit_process(0)
