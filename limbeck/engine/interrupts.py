"""Ctrl-C during a training: the step is finished and a checkpoint written first."""

from __future__ import annotations

import signal
import threading
from types import TracebackType
from typing import Any


class Interrupted(KeyboardInterrupt):
    """The run was stopped by the user, after writing a checkpoint."""


class InterruptHandler:
    """Within `with handler:`, the first Ctrl-C sets `requested`; a second one raises `KeyboardInterrupt` at once.

    Signals reach the main thread only; elsewhere the handler does nothing.
    """

    def __init__(self) -> None:
        self.requested = False
        self._previous: Any = None

    def __enter__(self) -> InterruptHandler:
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, self._previous)

    def _handle(self, number: int, frame: Any) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True


KEPT = "the checkpoint is written, resume with --resume (a build of a cache: with the same command)"


def stopped(where: str, *, kept: bool) -> Interrupted:
    """Returns the error that ends an interrupted training.

    Args:
        where: it stops, such as "step 12 of stage 0".
        kept: whether a checkpoint was written.
    """
    remains = KEPT if kept else "there is no folder: nothing was kept"
    return Interrupted(f"stopped at {where}; {remains}")
