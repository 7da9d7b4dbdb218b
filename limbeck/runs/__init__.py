"""A run as a folder: run a recipe, resume, evaluate, export, profile, compare and list."""

from __future__ import annotations

from typing import TYPE_CHECKING

from limbeck.utils.lazy_imports import lazy_attributes

if TYPE_CHECKING:
    from limbeck.runs.cache import build_cache, describe_cache, prune_cache, verify_cache
    from limbeck.runs.compare import run_comparison
    from limbeck.runs.distill import run_recipe
    from limbeck.runs.evaluate import Evaluation, evaluate_run
    from limbeck.runs.evaluate_exported import FileOptions, evaluate_file
    from limbeck.runs.export import export_run, is_failed
    from limbeck.runs.folder import RunError, load_verdicts, open_run, require_verdict, resume_command
    from limbeck.runs.listing import list_runs, runs_table
    from limbeck.runs.profile import profile_run
    from limbeck.runs.teacher import build_teacher, load_or_train_teacher, rebuild_teacher

_HOMES = {
    "limbeck.runs.cache": ("build_cache", "describe_cache", "prune_cache", "verify_cache"),
    "limbeck.runs.compare": ("run_comparison",),
    "limbeck.runs.distill": ("run_recipe",),
    "limbeck.runs.evaluate": ("Evaluation", "evaluate_run"),
    "limbeck.runs.evaluate_exported": ("FileOptions", "evaluate_file"),
    "limbeck.runs.export": ("export_run", "is_failed"),
    "limbeck.runs.folder": ("RunError", "load_verdicts", "open_run", "require_verdict", "resume_command"),
    "limbeck.runs.listing": ("list_runs", "runs_table"),
    "limbeck.runs.profile": ("profile_run",),
    "limbeck.runs.teacher": ("build_teacher", "load_or_train_teacher", "rebuild_teacher"),
}

__all__ = [
    "Evaluation",
    "FileOptions",
    "RunError",
    "build_cache",
    "build_teacher",
    "describe_cache",
    "evaluate_file",
    "evaluate_run",
    "export_run",
    "is_failed",
    "list_runs",
    "load_or_train_teacher",
    "load_verdicts",
    "open_run",
    "profile_run",
    "prune_cache",
    "rebuild_teacher",
    "require_verdict",
    "resume_command",
    "run_comparison",
    "run_recipe",
    "runs_table",
    "verify_cache",
]

__getattr__ = lazy_attributes(__name__, _HOMES)
