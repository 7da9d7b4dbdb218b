"""Computes the batches of the next steps in a background thread."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

from limbeck.core.batch import Batch
from limbeck.core.source import BatchPosition


class Prefetcher:
    """Returns `compute(position)`, computed ahead of time for the next steps. The content of a batch does not change.

    Args:
        compute: a pure function of the position.
        depth: steps to compute ahead; with 0 there is no thread.
    """

    def __init__(self, compute: Callable[[BatchPosition], Batch], depth: int) -> None:
        self._compute, self._depth = compute, depth
        self._pending: dict[BatchPosition, Future[Batch]] = {}
        # the executor starts its thread when it is first used
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="limbeck-prefetch") if depth else None

    def batch(self, position: BatchPosition) -> Batch:
        """The batch at this position; starts on the same part of the next `depth` steps."""
        if self._executor is None:
            return self._compute(position)
        self._drop_distant(position)
        for ahead in range(self._depth + 1):  # kept for this step too: another update of the step may read the same batch
            wanted = replace(position, step=position.step + ahead)
            if wanted not in self._pending:
                self._pending[wanted] = self._executor.submit(self._compute, wanted)
        return self._pending[position].result()

    def _drop_distant(self, position: BatchPosition) -> None:
        for pending in list(self._pending):
            near = 0 <= pending.step - position.step <= self._depth
            if not near or (pending.seed, pending.parts) != (position.seed, position.parts):
                self._pending.pop(pending).cancel()
