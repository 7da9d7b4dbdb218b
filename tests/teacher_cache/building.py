"""Builds a store in processes of its own, which can be killed: run by tests and by the benchmark.

python -m tests.teacher_cache.building FOLDER
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
from tests.teacher_cache import made

SAMPLES, VIEWS, ROWS = 200, 3, 30


def build(folder: Path, pause: float = 0.0, begun: Connection | None = None) -> None:
    """The whole store; a teacher that thinks for `pause` seconds a batch, and word to `begun` once the folder is taken."""

    def give(keys: Tensor, view: int) -> dict[str, AnySignal]:
        time.sleep(pause)
        return made.signals(keys, view)

    with StoreBuilder(folder, made.keys(SAMPLES), VIEWS, made.CODECS, made.IDENTITY, rows_per_shard=ROWS) as builder:
        if begun is not None:
            begun.send(True)
        made.fill(builder, give, rank=distributed.rank(), world=distributed.world_size())


def keep(folder: Path) -> None:
    """The same by way of a journal, to which each rank adds its share."""
    keys = made.keys(SAMPLES)
    with IncrementalStore(folder, keys, VIEWS, made.CODECS, made.IDENTITY, rows_per_shard=ROWS, rows_per_file=25) as journal:
        for view in range(VIEWS):
            for part in keys[distributed.rank() :: distributed.world_size()].split(16):
                journal.append(part, view, made.signals(part, view))
        journal.compact()


def killed(folder: Path, pause: float, after: float) -> bool:
    """The same in a process that is killed `after` seconds at work; whether it was still at work then."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.teacher_cache.building"])  # torch is imported once, not in every process
    here, there = context.Pipe()
    process = context.Process(target=build, args=(folder, pause, there))
    process.start()
    here.recv()
    process.join(after)
    at_work = process.is_alive()
    process.kill()
    process.join()
    return at_work


if __name__ == "__main__":
    distributed.initialize()
    build(Path(sys.argv[1]) / "built")
    keep(Path(sys.argv[1]) / "kept")
    distributed.exit_process(0)
