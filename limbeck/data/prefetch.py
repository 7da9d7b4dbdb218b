"""Computes the batches of the next steps in the background: in a thread, or in worker processes."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

from limbeck.core.batch import Batch
from limbeck.core.source import BatchPosition
from limbeck.data.workers import WorkerPool


class Prefetcher:
    """Returns `compute(position)`, computed ahead of time for the next steps. The content of a batch does not change.

    Args:
        compute: a pure function of the position.
        depth: steps to compute ahead; with workers at least one for each.
        workers: processes that compute; with 0 a thread does, and with a depth of 0 nothing is computed ahead.
    """

    def __init__(self, compute: Callable[[BatchPosition], Batch], depth: int, workers: int = 0) -> None:
        self._compute, self._depth = compute, max(depth, workers)
        self._pending: dict[BatchPosition, Future[Batch]] = {}
        self._pool = WorkerPool(compute, workers) if workers else None
        # the executor starts its thread when it is first used
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="limbeck-prefetch") if depth and not workers else None

    def batch(self, position: BatchPosition) -> Batch:
        """The batch at this position; starts on the same part of the next `depth` steps."""
        if self._depth == 0:
            return self._compute(position)
        self._drop_distant(position)
        for ahead in range(self._depth + 1):  # kept for this step too: another update of the step may read the same batch
            wanted = replace(position, step=position.step + ahead)
            if wanted not in self._pending:
                self._pending[wanted] = self._submit(wanted)
        pending = self._pending[position]
        return pending.result() if self._pool is None else self._pool.result_of(pending)

    def close(self) -> None:
        """Drops what is computed ahead, and ends the workers."""
        for pending in self._pending.values():
            pending.cancel()
        self._pending.clear()
        if self._pool is not None:
            self._pool.close()

    def _submit(self, position: BatchPosition) -> Future[Batch]:
        if self._pool is not None:
            return self._pool.submit(position)
        assert self._thread is not None
        return self._thread.submit(self._compute, position)

    def _drop_distant(self, position: BatchPosition) -> None:
        for pending in list(self._pending):
            near = 0 <= pending.step - position.step <= self._depth
            if not near or (pending.seed, pending.parts) != (position.seed, position.parts):
                self._pending.pop(pending).cancel()
