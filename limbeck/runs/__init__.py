"""A run as a folder: carry out, resume, evaluate, export, compare and list."""

from __future__ import annotations

from typing import TYPE_CHECKING

from limbeck.utils.lazy_imports import lazy_attributes

if TYPE_CHECKING:
    from limbeck.runs.run_folder import RunError, evaluate_run, open_run, run_recipe

_HOMES = {"limbeck.runs.run_folder": ("RunError", "run_recipe", "evaluate_run", "open_run")}

__all__ = ["RunError", "evaluate_run", "open_run", "run_recipe"]

__getattr__ = lazy_attributes(__name__, _HOMES)
