"""An exported file on other data, in its own runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor

from limbeck.data import Items, evaluation_batches
from limbeck.data.audio import SpectrogramStorage
from limbeck.data.table import EncodedTable
from limbeck.evaluation.arms import RESULTS_FOLDER
from limbeck.export import Runner
from limbeck.export.costs import format_of
from limbeck.export.exporter import EXPORTS
from limbeck.export.measure import RunnerModule
from limbeck.recipe import DatasetSpec, Recipe
from limbeck.recipe.dataset_reader import DatasetReader
from limbeck.recipe.schema.data import DataSpec
from limbeck.recipe.schema.models import StudentSpec
from limbeck.recipe.schema.task import build_task, task_name
from limbeck.runs.evaluate import Evaluation, evaluate_models, read_for_run
from limbeck.runs.folder import RECIPE, STUDENT, TEACHER, RunError, read_recipe, results_of
from limbeck.runs.results import reader_of
from limbeck.tasks import Task
from limbeck.utils import distributed


@dataclass(frozen=True)
class FileOptions:
    """What a file does not say about itself; None: as the run that holds the file says, else the default.

    Attributes:
        task: classification by default.
        metric: the task's first by default.
        tokenizer: of a file that reads texts: a folder, or a name on the Hugging Face hub.
        max_length: of texts, in tokens.
    """

    task: str | None = None
    metric: str | None = None
    tokenizer: str | None = None
    max_length: int | None = None


def evaluate_file(
    path: Path, data: str, options: FileOptions | None = None, *, console: Console | None = None, **columns: Any
) -> Evaluation:
    """Evaluates an exported file, or a folder written by `save_model`.

    A file inside a run (`runs/NAME/exports/student-int8.onnx`) has its task, class names and tokenizer from that run. Other
    files have them from `options`; images are brought to the input shape that the file states.

    Args:
        columns: of the data: `split`, `input`, `label`.

    Raises:
        FileNotFoundError: `path` does not exist.
        ExportError: `path` is no file of a known format, or its runtime cannot open it.
        MissingPackageError: the runtime of the format is not installed.
        RunError: the data does not have the file's input shape or classes.
    """
    distributed.initialize()
    console = console if console is not None and distributed.rank() == 0 else Console(quiet=True)
    options, runner = options or FileOptions(), format_of(path).open(path)
    run = _containing_run(path)
    if run is None:
        items, task = _read(path, runner, data, options, columns)
    else:
        items, task = _read_in_run(path, run, data, options, columns, console)
    _check_inputs(path, runner, items, data)
    if task.outputs_classes:
        _check_classes(path, runner, items, data)
    model = RunnerModule(runner)
    task.check(model, items, f"file {path.name}", data)
    return evaluate_models({STUDENT: model}, {STUDENT: items}, task, path, data, seen_in=run)


def _containing_run(path: Path) -> Path | None:
    """Returns the run that a file in its `exports/`, or one of its models, belongs to."""
    return next((folder for folder in path.resolve().parents[:3] if (folder / RECIPE).is_file()), None)


def _reader(path: Path, run: Path, recipe: Recipe) -> str:
    """Returns the actor whose inputs a file in a run reads: `exports/RESULT-PRECISION.onnx`, `results/RESULT/ARM`."""
    folder, *rest = path.resolve().relative_to(run).parts
    if folder == EXPORTS and rest:
        name = rest[0].rpartition("-")[0]
    else:
        name = rest[0] if folder == RESULTS_FOLDER and rest else folder
    if name in (TEACHER, *results_of(run)):
        return TEACHER if name == TEACHER else reader_of(recipe, name)
    return reader_of(recipe, results_of(run)[0])  # the student's own folder, and that of its control


def _read_in_run(
    path: Path, run: Path, data: str, options: FileOptions, columns: Mapping[str, Any], console: Console
) -> tuple[Items, Task]:
    """Returns the data as the model in the file reads it in its run, and the task of the run, prepared."""
    recipe = read_recipe(run)
    changes: dict[str, Any] = {}
    if options.task not in (None, task_name(recipe.task)):
        changes |= {"task": options.task, "metric": None}
    if options.metric is not None:
        changes["metric"] = options.metric
    if options.max_length is not None:
        changes["data"] = recipe.data.model_dump(mode="json") | {"max_length": options.max_length}
    recipe = read_recipe(run, changes) if changes else recipe
    items, teacher = read_for_run(recipe, run, data, columns, console, tokenizer=options.tokenizer)
    task = recipe.new_task()
    task.prepare(teacher, items, [items], control=False)
    return items.for_actor(_reader(path, run, recipe)), task


def _read(path: Path, runner: Runner, data: str, options: FileOptions, columns: Mapping[str, Any]) -> tuple[Items, Task]:
    """Returns the data with the input shape that the file states, and the task that the options name, prepared."""
    if runner.names and options.tokenizer is None:
        raise RunError(
            f"{path} reads texts, and it is in no run that has their tokenizer; name it with --tokenizer (a folder, or a name "
            "on the Hugging Face hub)"
        )
    task = build_task(options.task or "classification", options.metric)
    fields: dict[str, Any] = {"path": data, **columns}
    if len(runner.shape) == 3:
        channels, height, width = runner.shape
        fields |= {"channels": channels if channels in (1, 3) else None, "size": height if height == width else None}
    spec = DatasetSpec.model_validate(fields)
    length = {} if options.max_length is None else {"max_length": options.max_length}
    section = DataSpec.model_validate({"train": spec, "test": spec, "tokenizer": options.tokenizer, **length})
    unknown = StudentSpec.model_validate({})
    items = DatasetReader(task, section, unknown, unknown).items(spec)
    if isinstance(items.storage, EncodedTable | SpectrogramStorage):
        kind = "a table" if isinstance(items.storage, EncodedTable) else "of sounds"
        raise RunError(f"{data}: it is {kind}, whose encoding is kept in the run of {path}; evaluate the file in its folder")
    task.prepare(None, items, [items], control=False)
    return items, task


def _check_inputs(path: Path, runner: Runner, items: Items, data: str) -> None:
    """Raises `RunError` if the file cannot read the data."""
    example = next(evaluation_batches(items.select(torch.arange(1)), 1)).inputs["default"]
    given = _shape(example.shape[1:]) if isinstance(example, Tensor) else "texts"
    expected = "texts" if runner.names else _shape(runner.shape)
    if given != expected and expected:
        raise RunError(
            f"{data}: its inputs are {given}, and {path} reads {expected}; give data of that kind, or name the column that "
            "holds it with --input"
        )


def _check_classes(path: Path, runner: Runner, items: Items, data: str) -> None:
    """Raises `RunError` if the data numbers its named classes in another way than the file does."""
    example = next(evaluation_batches(items.select(torch.arange(1)), 1)).inputs["default"]
    outputs = runner(example)
    if items.class_names and outputs.ndim == 2 and outputs.shape[1] != len(items.class_names):
        raise RunError(
            f"{data}: it has {len(items.class_names)} classes, and {path} outputs {outputs.shape[1]}, so that their order is "
            "unknown; write the class names in the model's order into classes.json beside the data, or evaluate the file in "
            "the folder of its run"
        )


def _shape(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape))
