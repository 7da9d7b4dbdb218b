"""A run as a folder: carry out, resume, evaluate, export, compare and list."""

from __future__ import annotations

from typing import TYPE_CHECKING

from limbeck.utils.lazy_imports import lazy_attributes

if TYPE_CHECKING:
    from limbeck.runs.run_folder import RunError, carry_out, evaluate, open_run

_HOMES = {"limbeck.runs.run_folder": ("RunError", "carry_out", "evaluate", "open_run")}

__all__ = ["RunError", "carry_out", "evaluate", "open_run"]

__getattr__ = lazy_attributes(__name__, _HOMES)
