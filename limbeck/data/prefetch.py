"""Computing the next steps' batches in a background thread; what a batch holds does not change by it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

from limbeck.core.batch import Batch
from limbeck.core.source import BatchPosition


class Prefetcher:
    """Answers `compute(place)`, and begins on the same part of the next `depth` steps."""

    def __init__(self, compute: Callable[[BatchPosition], Batch], depth: int) -> None:
        self._compute, self._depth = compute, depth
        self._begun: dict[BatchPosition, Future[Batch]] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="limbeck-prefetch") if depth else None  # starts when used

    def batch(self, position: BatchPosition) -> Batch:
        if self._thread is None:
            return self._compute(position)
        self._forget_all_but_near(position)
        for ahead in range(self._depth + 1):  # this step too: a second update of the run may ask for it again
            wanted = replace(position, step=position.step + ahead)
            if wanted not in self._begun:
                self._begun[wanted] = self._thread.submit(self._compute, wanted)
        return self._begun[position].result()

    def _forget_all_but_near(self, position: BatchPosition) -> None:
        for begun in list(self._begun):
            near = 0 <= begun.step - position.step <= self._depth
            if not near or (begun.seed, begun.parts) != (position.seed, position.parts):
                self._begun.pop(begun).cancel()
