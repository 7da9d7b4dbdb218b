"""Worker processes compute what this process would, report errors, and end with their parent."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from limbeck.core import BatchPosition, Term, trained
from limbeck.data import Dataset, Items
from limbeck.data.workers import WorkerPool, computed_in_workers, default_workers, is_worker
from limbeck.engine import Run, Settings, Stage, Update, steps
from limbeck.objectives import HardTargets

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="threads compute where processes cannot be forked")


def square(number: int) -> tuple[torch.Tensor, int, bool]:
    return torch.full((3, 5), number) ** 2, os.getpid(), is_worker()


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_results_come_in_order_whatever_the_number_of_workers(workers: int) -> None:
    found = list(computed_in_workers(square, range(7), workers))
    assert [int(tensor[0, 0]) for tensor, *_ in found] == [number**2 for number in range(7)]
    assert all(elsewhere == bool(workers) for *_, elsewhere in found)
    assert all((process != os.getpid()) == bool(workers) for _, process, _ in found)
    assert not is_worker()


@linux
def test_workers_see_the_data_without_pickling_it() -> None:
    data = (number for number in range(3))  # generators cannot be pickled
    assert list(computed_in_workers(lambda index: (index, next(data)), [5], 1)) == [(5, 0)]


class OddError(ValueError):
    def __init__(self, one: str, two: str) -> None:  # cannot be made again from its args
        super().__init__(f"{one} and {two}")


def test_an_error_in_a_worker_is_raised_with_its_message() -> None:
    def fail(index: int) -> int:
        if index == 1:
            raise OddError("images/a.jpg", "broken")
        if index == 2:
            raise ValueError("row 2")
        return index

    with pytest.raises(RuntimeError, match=r"OddError: images/a\.jpg and broken"):
        list(computed_in_workers(fail, [0, 1], 1))
    with pytest.raises(ValueError, match="row 2"):
        list(computed_in_workers(fail, [2], 2))


@linux
def test_a_killed_worker_is_explained() -> None:
    pool = WorkerPool(lambda index: os.kill(os.getpid(), signal.SIGKILL), 1)
    with pytest.raises(RuntimeError, match=r"worker processes that make batches was killed.*workers: 0"):
        pool.result_of(pool.submit(0))
    pool.close()


@linux
def test_workers_end_with_a_parent_that_is_killed() -> None:
    code = (
        "import os, signal, limbeck.data.workers as w\n"
        "w.PARENT_CHECK = 0.05\n"
        "pool = w.WorkerPool(lambda index: os.getpid(), 1)\n"
        "print(pool.result_of(pool.submit(0)), flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60).stdout
    until = time.monotonic() + 10
    while time.monotonic() < until and os.path.exists(f"/proc/{int(out)}/stat"):
        time.sleep(0.05)
    assert not os.path.exists(f"/proc/{int(out)}/stat")


def test_the_default_shares_the_cores_among_the_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("limbeck.data.workers.cores", lambda: 12)
    assert default_workers() == 8
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert default_workers() == 0, "three cores"
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert default_workers() == 6
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "24")
    assert default_workers() == 0


@linux
def test_the_workers_of_a_data_set_end_with_the_run() -> None:
    source = Dataset(Items.from_tensors(torch.rand(16, 4), torch.arange(16) % 2), 4, workers=2)
    run = Run(
        {"student": trained(torch.nn.Linear(4, 2))},
        [Stage([Update([Term(HardTargets())])], steps(3))],
        source=source,
        settings=Settings(progress=False),
    )
    others = set(multiprocessing.active_children())
    run.advance(1)
    workers = set(multiprocessing.active_children()) - others
    assert len(workers) >= 2
    run.advance()
    until = time.monotonic() + 10
    while time.monotonic() < until and any(worker.is_alive() for worker in workers):
        time.sleep(0.02)
    assert not any(worker.is_alive() for worker in workers)
    assert source.batch(BatchPosition(0)).inputs["default"].shape == (4, 4), "a source may be used again"
    source.close()
