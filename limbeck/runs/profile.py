"""Measures the cost of one inference for the models and exports of a run, or for one file or model folder."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from limbeck import models
from limbeck.evaluation import Verdict
from limbeck.evaluation.arms import ArmName, arm_folder
from limbeck.export import PYTORCH, Costs, ExportError, UnknownShapeError, profile
from limbeck.recipe import Recipe, data_sizes
from limbeck.runs.folder import RECIPE, STUDENT, TEACHER, open_recipe, read_verdict
from limbeck.runs.results import CONFIG


def profile_run(path: Path, shape: Sequence[int] = (), *, console: Console | None = None) -> dict[str, Costs]:
    """Measures size, work, latency and memory on this machine.

    Args:
        path: a run folder, an exported file, or a folder written by `save_model`.
        shape: of one input, if the file does not state it.

    Raises:
        FileNotFoundError: `path` does not exist.
        RuntimeError: `path` is none of these, its runtime cannot open it, or the shape of its input is unknown.
    """
    if not (path / RECIPE).exists():
        return profile({path.name: path}, shape, console=console)
    recipe, verdict = open_recipe(path), read_verdict(path)
    names = list(verdict.results)
    kept = {name: path / arm_folder(str(ArmName(name, STUDENT)), names[0]) for name in names}
    results = {f"{name} {PYTORCH} fp32": folder for name, folder in kept.items() if (folder / CONFIG).exists()}
    exports = [record for record in verdict.exports if record.path is not None and (path / record.path).exists()]
    files = {f"{record.model} {record.format} {record.precision}": path / str(record.path) for record in exports}
    with tempfile.TemporaryDirectory() as folder:
        teacher = _teacher_folder(recipe, verdict, path, Path(folder))
        paths = results | teacher | files
        try:
            costs = profile(paths, shape, console=console)
        except UnknownShapeError:  # of models for inputs of any size: as the run's data has it
            costs = profile(paths, _shape_of_data(recipe), console=console)
    return {name: _as_of_run(row, costs.get(f"{name.split()[0]} {PYTORCH} fp32"), path) for name, row in costs.items()}


def _shape_of_data(recipe: Recipe) -> tuple[int, ...]:
    """Returns the shape of one test item, as the first result reads it."""
    items = recipe.items(recipe.data.test)
    shape = data_sizes(items.for_actor(STUDENT)).item
    if shape is None:
        raise ExportError("the shape of the input is unknown", "Give that of one item, such as --shape 3,32,32")
    return shape


def _as_of_run(row: Costs, in_pytorch: Costs | None, folder: Path) -> Costs:
    """Returns the row with its path in the run, and with parameters and MACs, which a file does not state, from PyTorch."""
    model = in_pytorch or row
    return replace(row, parameters=model.parameters, macs=model.macs, path=_relative_path(folder, row.path))


def _teacher_folder(recipe: Recipe, verdict: Verdict, run: Path, folder: Path) -> dict[str, Path]:
    """Returns the folder of the run's teacher; built and saved in `folder` if the run has not saved it; empty if it is gone."""
    if recipe.teacher is None:
        return {}
    name, saved = f"teacher {PYTORCH} fp32", run / TEACHER
    if (saved / "config.json").exists():
        return {name: saved}
    try:
        models.save_model(recipe.teacher.new(len(verdict.classes) or None, None), None, folder)
    except (ValueError, OSError, ImportError, RuntimeError):
        return {}
    return {name: folder}


def _relative_path(folder: Path, path: str) -> str:
    """Returns the path relative to the run folder; empty if it lies outside."""
    return str(Path(path).relative_to(folder)) if Path(path).is_relative_to(folder) else ""
