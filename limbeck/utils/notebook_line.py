"""A line of text in a notebook that is replaced in place, and stays as it was last: bars of terminals leave empty outputs."""

from __future__ import annotations

import importlib
import time
from typing import Any

INTERVAL = 0.25  # seconds between two updates


class NotebookLine:
    """One output of the cell that is running."""

    def __init__(self) -> None:
        self._handle: Any = None
        self._shown = 0.0

    def show(self, text: str, *, now: bool = False) -> None:
        """Replaces the text, at most every `INTERVAL` seconds unless `now` is set."""
        if not now and time.monotonic() - self._shown < INTERVAL:
            return
        display: Any = importlib.import_module("IPython.display").display  # installed where notebooks run
        self._shown = time.monotonic()
        content = {"text/plain": text}
        if self._handle is None:
            self._handle = display(content, raw=True, display_id=True)
        else:
            self._handle.update(content, raw=True)
