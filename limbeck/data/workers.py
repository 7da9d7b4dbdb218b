"""Computes batches in worker processes, because one interpreter decodes a few hundred images a second whatever the cores."""

from __future__ import annotations

import gc
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Generic, NoReturn, TypeVar

import torch

from limbeck.utils.cores import cores

Index = TypeVar("Index")
Result = TypeVar("Result")

FEW_CORES, MOST_BY_DEFAULT = 4, 8
PARENT_CHECK = 2.0  # seconds between two looks whether the parent is still there
_compute: Callable[[Any], Any] | None = None  # of this worker process


class WorkerPool(Generic[Index, Result]):
    """`compute(index)` in worker processes that are forked when the first result is asked for.

    Workers see what `compute` refers to as it is then. Tensors of results travel in shared memory. Where processes cannot be
    forked (Windows, macOS), threads compute.

    Args:
        compute: a pure function.
        workers: how many, 1 or more.
    """

    def __init__(self, compute: Callable[[Index], Result], workers: int) -> None:
        self._compute, self.workers = compute, workers
        self._executor: Executor | None = None

    def submit(self, index: Index) -> Future[Result]:
        """Starts on this result; `result_of` waits for it."""
        if self._executor is None:
            gc.collect()  # ends the workers of data sets that are no longer used, and forks less
            self._executor = _executor(self._compute, self.workers)
            weakref.finalize(self, self._executor.shutdown, wait=False, cancel_futures=True)
        if isinstance(self._executor, ProcessPoolExecutor):
            try:
                return self._executor.submit(_in_worker, index)
            except BrokenProcessPool as error:
                raise _ended(self.workers) from error
        return self._executor.submit(self._compute, index)

    def result_of(self, future: Future[Result]) -> Result:
        """The result, or the error that `compute` raised.

        Raises:
            RuntimeError: a worker process was killed.
        """
        try:
            return future.result()
        except BrokenProcessPool as error:
            raise _ended(self.workers) from error

    def close(self) -> None:
        """Ends the workers; what they were working on is dropped."""
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)
            self._executor = None


def computed_in_workers(compute: Callable[[Index], Result], indexes: Iterable[Index], workers: int) -> Iterator[Result]:
    """`compute(index)` of each index in order, computed ahead by `workers` processes; with 0 here, when it is asked for."""
    if workers == 0:
        yield from map(compute, indexes)
        return
    pool, pending = WorkerPool(compute, workers), deque[Future[Result]]()
    try:
        for index in indexes:
            pending.append(pool.submit(index))
            if len(pending) > workers:
                yield pool.result_of(pending.popleft())
        while pending:
            yield pool.result_of(pending.popleft())
    finally:
        pool.close()


def default_workers() -> int:
    """Workers where items have to be decoded: one a core, shared with the other ranks of this machine, at most 8.

    On few cores none: decoders run without the interpreter's lock, so that threads use them all and copy no batch between
    processes. The part that holds the lock, a fifth, keeps more threads than that waiting for each other.
    """
    return 0 if own_cores() <= FEW_CORES else min(MOST_BY_DEFAULT, own_cores())


def own_cores() -> int:
    """The cores of this process: one of a worker, else those that the ranks of this machine share, divided among them."""
    return 1 if is_worker() else max(1, cores() // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def is_worker() -> bool:
    """Whether this is a worker process, which has one core to itself."""
    return _compute is not None


def _executor(compute: Callable[[Any], Any], workers: int) -> Executor:
    if not sys.platform.startswith("linux"):
        return ThreadPoolExecutor(workers, thread_name_prefix="limbeck-worker")
    context = multiprocessing.get_context("fork")  # nothing is pickled: the data set is there already
    return ProcessPoolExecutor(workers, context, initializer=_begin, initargs=(compute, os.getpid()))


def _begin(compute: Callable[[Any], Any], parent: int) -> None:
    """The start of a worker process."""
    global _compute
    _compute = compute
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the run, which ends its workers itself
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    torch.set_num_threads(1)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    """Ends this process once its parent is gone, even if that was killed."""
    while os.getppid() == parent:
        time.sleep(PARENT_CHECK)
    os._exit(1)


def _in_worker(index: Any) -> Any:
    assert _compute is not None
    try:
        return _compute(index)
    except Exception as error:
        _raise_transportable(error)


def _raise_transportable(error: Exception) -> NoReturn:
    """Raises the error, or one with its message if it does not survive the way to the parent."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        raise RuntimeError(f"{type(error).__name__}: {error}") from error
    raise error


def _ended(workers: int) -> RuntimeError:
    return RuntimeError(
        f"one of {workers} worker processes that make batches was killed, as the system does when memory or shared memory "
        "(/dev/shm, in Docker --shm-size) runs out; use fewer with workers: 1, or none with workers: 0"
    )
