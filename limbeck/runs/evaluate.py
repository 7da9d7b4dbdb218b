"""A finished run on other data: its results, with the controls and the teacher that the run has kept."""

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
from limbeck.data.image.load import MixedImagesError
from limbeck.data.image.size import image_shape, saved_image_shape
from limbeck.evaluation import MetricInfo, Predictions, Verdict, build_verdict
from limbeck.evaluation.arms import CONTROL, STUDENT, TEACHER, ArmName, arm_folder, parse_arm
from limbeck.experiment.experiment import inference_device
from limbeck.models.tokenizer import load_tokenizer
from limbeck.recipe import DatasetSpec, Recipe
from limbeck.recipe.same_columns import load_same_columns
from limbeck.runs.folder import (
    RECIPE,
    RunError,
    class_count_of,
    class_names_of,
    load_verdict,
    open_recipe,
    results_of,
    resume_command,
)
from limbeck.runs.results import CONFIG, load_results, reader_of
from limbeck.runs.seen import seen_before
from limbeck.runs.teacher import rebuild_compared
from limbeck.tasks import Task
from limbeck.tasks.base import EVALUATION_BATCH
from limbeck.tasks.undefined_metrics import warn_of_undefined
from limbeck.utils import distributed

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
        """The student's figures, those of all arms, and gain and retention, which are None without a control or teacher.

        Of several results these are those of the first; `results` has those of each. `gains`: over further controls.
        """
        verdict = self.verdict
        kind = "run" if (self.evaluated / RECIPE).exists() else "file"
        several = {"results": {name: _result(verdict.only(name)) for name in verdict.results}}
        return {
            kind: str(self.evaluated),
            "data": self.data,
            "items": verdict.items,
            "metric": verdict.metric.name,
            **_result(verdict),
            **(several if len(verdict.results) > 1 else {}),
            **({} if verdict.shared_items is None else {"shared_items": verdict.shared_items.model_dump(mode="json")}),
        }


def evaluate_run(folder: Path, data: str, *, console: Console | None = None, **columns: Any) -> Evaluation:
    """Evaluates the results of a run on other data, and the controls and the teacher that the run has kept.

    All models see the same items, so that gain and retention have paired bootstrap intervals over them, as in the verdict of
    the run. There is one model of each arm: those of the seed whose student is the best. Results whose model was not kept in a
    form that can be loaded are left out.

    Args:
        console: prints why a run is evaluated without a control, a result or the teacher.
        columns: of the data: `split`, `input`, `label`.

    Raises:
        RunError: `folder` is no run, or its student is not trained yet.
        ValueError: the data does not fit the student.
    """
    distributed.initialize()
    console = console if console is not None and distributed.rank() == 0 else Console(quiet=True)
    recipe = open_recipe(folder)
    first = results_of(folder)[0]
    results = load_results(folder)
    for result, reason in results.missing.items():
        _note(console, f"without {result}: {reason}")
    if not results.models:
        raise RunError(f"run {folder}: no result can be evaluated: {'; '.join(results.missing.values())}")
    trained: dict[str, nn.Module] = {}
    for result, model in results.models.items():
        trained |= {str(ArmName(result, STUDENT)): model} | _kept(folder, result, first, recipe, console)
    items, teacher = read_for_run(recipe, folder, data, columns, console)
    task = recipe.new_task()
    task.prepare(teacher, items, [items], control=False)
    read = {arm: items.for_actor(reader_of(recipe, parse_arm(arm).result)) for arm in trained}
    for arm, model in trained.items():
        task.check(model, read[arm], arm, data)
    if teacher is not None:
        as_teacher = items.for_actor(reader_of(recipe, TEACHER))
        if _fits(task, teacher, as_teacher, data, console):
            trained[TEACHER], read[TEACHER] = teacher, as_teacher
    training = recipe.training.build()
    device = inference_device(training.settings)
    return evaluate_models(trained, read, task, folder, data, device, batch_size=training.evaluation_batch, seen_in=folder)


def _kept(folder: Path, result: str, first: str, recipe: Recipe, console: Console) -> dict[str, nn.Module]:
    """Returns the controls of a result that the run has kept, by arm; prints which are missing."""
    found = {}
    verdict = load_verdict(folder)
    judged = None if verdict is None else verdict.results.get(result)
    further = [] if judged is None else list(judged.controls)
    had_control = recipe.control if judged is None else judged.control is not None
    for control in (CONTROL, *further):
        arm = str(ArmName(result, control))
        path = folder / arm_folder(arm, first)
        if (path / CONFIG).exists():
            found[arm] = models.load_model(path)
        elif control != CONTROL or had_control:
            what = "the control" if arm == CONTROL else arm
            _note(console, f"without {what}: {path} is missing; written by: {resume_command(folder)}")
    return found


def _note(console: Console, text: str) -> None:
    console.print(text, style="yellow", markup=False, soft_wrap=True)


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
        items = _align(_read(recipe, folder, data, columns, console), folder, data)
    except ValueError as error:
        if recipe.student.reads is None or columns.get("input") is not None:
            raise
        _note(console, f"without the teacher: {error}")
        has_teacher = False  # and the student needs its own field only
        items = _align(_read(recipe, folder, data, columns, console, only=recipe.student.reads), folder, data)
    return items, rebuild_compared(recipe, folder, items, class_count_of(folder), console) if has_teacher else None


def _align(items: Items, folder: Path, data: str) -> Items:
    """Returns the items with the classes of the run. A run whose verdict has classes but no names has trained on numbers."""
    return items.align_classes(class_names_of(folder), data, strict=class_count_of(folder) is not None)


def _read(
    recipe: Recipe, folder: Path, data: str, columns: Mapping[str, Any], console: Console, *, only: str | None = None
) -> Items:
    """Returns data with the image options and in the image size of the run; of its fields, all or `only` one."""
    fields = recipe.data.like.fields
    like = recipe.data.test if fields is None else recipe.data.like
    spec = DatasetSpec(path=data, size=like.size, channels=like.channels, on_error=like.on_error, **columns)
    if fields is not None and only is not None:
        spec = spec.model_copy(update={"fields": {only: fields[only]}, "audio": like.audio})
    trained = None if fields is not None else saved_image_shape(folder / STUDENT)
    return _items(recipe, spec) if trained is None else _images_as_trained(recipe, spec, trained, console)


def _items(recipe: Recipe, spec: DatasetSpec) -> Items:
    """Returns items with the columns of the test data of the run, where `spec` names none and the data has them."""
    return load_same_columns(spec, recipe.data.test, recipe.items)


def _images_as_trained(recipe: Recipe, spec: DatasetSpec, trained: tuple[int | None, int, int], console: Console) -> Items:
    """Returns images with the channels and in the size of the training, of which a note tells if they have others."""
    wanted = spec.channels or trained[0], spec.size or trained[1], spec.size or trained[2]
    try:
        items = _items(recipe, spec)
        found = image_shape(items)
        if found is None or all(side in (None, own) for side, own in zip(wanted, found, strict=True)):
            return items
        shown = "{} × {} × {}".format(*found)
    except MixedImagesError:
        shown = "several sizes or channels"
    as_trained = " × ".join(str(side) for side in wanted if side is not None)
    if wanted[1] != wanted[2]:
        raise ValueError(
            f"{spec.path}: its images are of {shown}, and those of the training of {as_trained}; convert the files"
        )
    _note(console, f"images of {shown} are read as {as_trained}, as in the training")
    return _items(recipe, spec.model_copy(update={"channels": wanted[0], "size": wanted[1]}))


def evaluate_models(
    trained: Mapping[str, nn.Module],
    items: Mapping[str, Items],
    task: Task,
    evaluated: Path,
    data: str,
    device: torch.device = CPU,
    *,
    batch_size: int = EVALUATION_BATCH,
    seen_in: Path | None = None,
) -> Evaluation:
    """Compares models, by arm, on the same items, as each reads them. `task` is prepared for them.

    Of several processes each runs the models on its share of the items, and all get the whole result.

    Args:
        batch_size: items that a model runs on at once.
        seen_in: the run of the models, whose training data the items are compared with.
    """
    predictions, classes = {}, None
    for arm, model in trained.items():
        known = task.evaluation_items(items[arm])
        outputs = task.outputs(model.to(device), known, batch_size=batch_size, among_processes=True)
        model.cpu()
        predictions[arm] = Predictions.of(task, [outputs], known)
        classes = outputs.shape[-1] if task.outputs_classes else None
    warn_of_undefined(task, next(iter(items.values())), classes, data)
    kept = None if seen_in is None else load_verdict(seen_in)
    verdict = build_verdict(
        predictions,
        name=f"{evaluated.name} on {data}",
        task=task.name,
        metric=MetricInfo.of(task.metric),
        seeds=[0],
        shared_items=None if seen_in is None else seen_before(seen_in, next(iter(items.values()))),
        term_graph=None if kept is None else kept.term_graph,
        without_data=kept is not None and kept.without_data,
    )
    return Evaluation(evaluated, data, verdict if kept is None else verdict.model_copy(update={"federation": kept.federation}))


def _set_tokenizers(recipe: Recipe, folder: Path, console: Console) -> bool:
    """Sets the tokenizers of a finished run; returns whether the teacher's is known, or not needed."""
    if recipe.data.like.fields is not None:
        for name in recipe.reader.models:
            if (folder / name / "tokenizer.json").exists():
                recipe.reader.saved_tokenizers[name] = load_tokenizer(str(folder / name), local_files_only=True)
        return True
    if not any((folder / STUDENT).rglob("tokenizer.json")):  # no texts, or one tokenizer that the recipe names
        return True
    student = load_tokenizer(str(folder / STUDENT), local_files_only=True)
    try:
        saved = (folder / TEACHER / "tokenizer.json").exists()
        teacher = load_tokenizer(str(folder / TEACHER), local_files_only=True) if saved else recipe.reader.tokenizer
    except (ValueError, OSError, ImportError) as error:
        _note(console, f"without the teacher, whose tokenizer cannot be loaded: {error}")
        recipe.reader.use_tokenizers(student)
        return False
    recipe.reader.use_tokenizers(student, teacher)
    return True


def _fits(task: Task, teacher: nn.Module, items: Items, data: str, console: Console) -> bool:
    """Returns whether the teacher can read the data, which is as it reads it; prints why not."""
    try:
        task.check(teacher, items, "teacher", data)
    except ValueError as error:
        _note(console, f"without the teacher: {error}")
        return False
    return True


def _result(verdict: Verdict) -> dict[str, Any]:
    """The figures of the first result: its student's, those of all its arms, its gains and its retention."""
    result, metric = verdict.result, verdict.metric.name
    arms = {name: _figures(metric, arm.metric, arm.ci95, arm.ece) for name, arm in verdict.compared.items()}
    gains = {"gains": {name: asdict(gain) for name, gain in result.gains.items()}} if result.gains else {}
    return {
        **arms[STUDENT],
        "arms": arms,
        "gain": None if result.gain is None else asdict(result.gain),
        **gains,
        "retention": result.retention,
        "retention_ci95": result.retention_ci95,
    }


def _figures(metric: str, value: float, ci95: tuple[float, float], ece: float | None) -> dict[str, Any]:
    return {metric: value, "ci95": list(ci95)} | ({} if ece is None else {"ece": ece})
