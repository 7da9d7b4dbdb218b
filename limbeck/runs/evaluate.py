"""A finished run on other data: its student, and the control and the teacher if the run has kept them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import nn

from limbeck import models
from limbeck.data import Items
from limbeck.evaluation import MetricInfo, Predictions, Verdict, build_verdict
from limbeck.experiment.experiment import inference_device
from limbeck.models.tokenizer import load_tokenizer
from limbeck.recipe import DatasetSpec, Recipe, data_sizes
from limbeck.runs.folder import CONTROL, RECIPE, STUDENT, TEACHER, class_count_of, class_names_of, open_run, resume_command
from limbeck.runs.teacher import rebuild_teacher
from limbeck.tasks import Task

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Evaluation:
    """Models on other data.

    Attributes:
        evaluated: the run or file.
        data: as the user named it.
        verdict: of the one model of each arm. There are no costs and no targets in it.
    """

    evaluated: Path
    data: str
    verdict: Verdict

    def as_json(self) -> dict[str, Any]:
        """The student's figures, those of all arms, and gain and retention, which are None without a control or teacher."""
        verdict, result = self.verdict, self.verdict.result
        kind = "run" if (self.evaluated / RECIPE).exists() else "file"
        arms = {name: _figures(verdict.metric.name, arm.metric, arm.ci95, arm.ece) for name, arm in verdict.arms.items()}
        return {
            kind: str(self.evaluated),
            "data": self.data,
            "items": verdict.items,
            "metric": verdict.metric.name,
            **arms["student"],
            "arms": arms,
            "gain": None if result.gain is None else asdict(result.gain),
            "retention": result.retention,
            "retention_ci95": result.retention_ci95,
        }


def evaluate_run(folder: Path, data: str, *, console: Console | None = None, **columns: Any) -> Evaluation:
    """Evaluates the student of a run on other data, and its control and teacher if the run has kept them.

    All models see the same items, so that gain and retention have paired bootstrap intervals over them, as in the verdict of
    the run. There is one model of each arm: those of the seed whose student is the best.

    Args:
        console: prints why a run is evaluated without its control or teacher.
        columns: of the data: `split`, `input`, `label`.

    Raises:
        RunError: `folder` is no run, or its student is not trained yet.
        ValueError: the data does not fit the student.
    """
    console = console or Console(quiet=True)
    recipe, student = open_run(folder)
    trained = {STUDENT: student}
    if (folder / CONTROL / "config.json").exists():
        trained[CONTROL] = models.load_model(folder / CONTROL)
    elif recipe.control:
        reason = f"without the control: {folder / CONTROL} is missing; written by: {resume_command(folder)}"
        console.print(reason, style="yellow", markup=False, soft_wrap=True)
    items, teacher = read_for_run(recipe, folder, data, columns, console)
    task = recipe.new_task()
    task.prepare(teacher, items, [items], control=False)
    for arm, model in trained.items():
        task.check(model, items.for_actor("student"), arm, data)
    if teacher is not None and _fits(task, teacher, items, data, console):
        trained[TEACHER] = teacher
    device = inference_device(recipe.training.build().settings)
    return evaluate_models(trained, items, task, folder, data, device)


def read_for_run(
    recipe: Recipe,
    folder: Path,
    data: str,
    columns: Mapping[str, Any],
    console: Console,
    *,
    tokenizer: str | None = None,
) -> tuple[Items, nn.Module | None]:
    """Returns data as the models of a run read it, and the run's teacher if it can be rebuilt.

    Texts are read with the tokenizers of the run, or with one tokenizer that is given. Without the teacher's own tokenizer
    only the student can read them, and the teacher is None.
    """
    if tokenizer is not None:
        recipe.reader.use_tokenizers(load_tokenizer(tokenizer))
        has_teacher = False
    else:
        has_teacher = _set_tokenizers(recipe, folder, console)
    try:
        items = _read(recipe, data, columns).align_classes(class_names_of(folder), data)
    except ValueError as error:
        if recipe.student.reads is None or columns.get("input") is not None:
            raise
        console.print(f"without the teacher: {error}", style="yellow", markup=False, soft_wrap=True)
        has_teacher = False  # and the student needs its own field only
        items = _read(recipe, data, {**columns, "input": recipe.student.reads}).align_classes(class_names_of(folder), data)
    if not has_teacher:
        return items, None
    sizes = data_sizes(items.for_actor("teacher"))
    sizes = sizes._replace(classes=class_count_of(folder) or sizes.classes)  # other data may lack some of the classes
    return items, rebuild_teacher(recipe, folder, sizes, console)


def _read(recipe: Recipe, data: str, columns: Mapping[str, Any]) -> Items:
    """Returns data with the image options of the run."""
    like = recipe.data.test if recipe.data.train.fields is None else recipe.data.train
    return recipe.items(DatasetSpec(path=data, size=like.size, channels=like.channels, on_error=like.on_error, **columns))


def evaluate_models(
    trained: Mapping[str, nn.Module],
    items: Items,
    task: Task,
    evaluated: Path,
    data: str,
    device: torch.device = CPU,
) -> Evaluation:
    """Compares models, by arm, on the same items. `task` is prepared for them."""
    predictions = {}
    for arm, model in trained.items():
        known = task.evaluation_items(items.for_actor("teacher" if arm == TEACHER else "student"))
        outputs = task.outputs(model.to(device), known)
        model.cpu()
        predictions[arm] = Predictions(**task.to_predictions([outputs], known))
    verdict = build_verdict(
        predictions,
        name=f"{evaluated.name} on {data}",
        task=task.name,
        metric=MetricInfo.of(task.metric),
        seeds=[0],
    )
    return Evaluation(evaluated, data, verdict)


def _set_tokenizers(recipe: Recipe, folder: Path, console: Console) -> bool:
    """Sets the tokenizers of a finished run; returns whether the teacher's is known, or not needed."""
    if not any((folder / STUDENT).rglob("tokenizer.json")):  # no texts, or one tokenizer that the recipe names
        return True
    student = load_tokenizer(str(folder / STUDENT), local_files_only=True)
    try:
        saved = (folder / TEACHER / "tokenizer.json").exists()
        teacher = load_tokenizer(str(folder / TEACHER), local_files_only=True) if saved else recipe.reader.tokenizer
    except (ValueError, OSError, ImportError) as error:
        reason = f"without the teacher, whose tokenizer cannot be loaded: {error}"
        console.print(reason, style="yellow", markup=False, soft_wrap=True)
        recipe.reader.use_tokenizers(student)
        return False
    recipe.reader.use_tokenizers(student, teacher)
    return True


def _fits(task: Task, teacher: nn.Module, items: Items, data: str, console: Console) -> bool:
    """Returns whether the teacher can read the data; prints why not."""
    try:
        task.check(teacher, items.for_actor("teacher"), "teacher", data)
    except ValueError as error:
        console.print(f"without the teacher: {error}", style="yellow", markup=False, soft_wrap=True)
        return False
    return True


def _figures(metric: str, value: float, ci95: tuple[float, float], ece: float | None) -> dict[str, Any]:
    return {metric: value, "ci95": list(ci95)} | ({} if ece is None else {"ece": ece})
