"""A recipe run in a folder: teacher, student and control for every seed, then the verdict and the exports."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

import torch
from rich.console import Console
from torch import nn

from limbeck.data import FieldStorage, Items
from limbeck.data.fields import save_preprocessing
from limbeck.evaluation import Verdict
from limbeck.evaluation.report.canvas import cut
from limbeck.experiment.distillation import Distillation
from limbeck.recipe import Recipe
from limbeck.runs.cache import save_cache_recipe
from limbeck.runs.export import RunModels, check_formats, check_texts, write_exports
from limbeck.runs.folder import TEACHER, lock_run
from limbeck.runs.inputs import check_inputs
from limbeck.runs.results import choose_results
from limbeck.runs.resume import check_folder, is_prepared, prepare_folder
from limbeck.runs.seen import save_seen
from limbeck.runs.teacher import build_pretrained, check_model_trainings, load_or_train_teacher, teacher_as_read, with_progress
from limbeck.tasks.classification import in_classes_of
from limbeck.utils import distributed
from limbeck.utils.atomic_files import new_folder
from limbeck.utils.disk_full import explain_disk_full
from limbeck.utils.memory import explain_out_of_memory
from limbeck.utils.terminal import shown

MAX_CLASS_NAMES = 8  # printed before a training
CLASS_NAME = 40  # characters of each


def run_recipe(
    recipe: Recipe,
    folder: Path,
    *,
    resume: bool = False,
    force: bool = False,
    console: Console | None = None,
    progress: bool = True,
) -> Verdict:
    """Trains teacher, student and control for every seed, evaluates them, and writes everything into `folder`.

    A folder that holds a run is only written to with `resume` (continue it) or `force` (start over), and only after the data
    is loaded and the models are known to fit. Of several processes rank 0 writes and the others wait.

    Raises:
        RunError: the folder holds something else.
        DiskFullError: the disk is full; what was saved before is complete.
        OutOfMemoryError: memory is used up; the message names the largest numbers of the recipe.
        ValueError: data, models and terms do not fit.
    """
    if ".." in folder.parts:  # or folders that the path only passes through would be created
        folder = folder.resolve()
    with explain_out_of_memory(lambda: recipe.model_dump(exclude_unset=True)):
        return _run(recipe, folder, resume=resume, force=force, console=console, progress=progress)


def _run(recipe: Recipe, folder: Path, *, resume: bool, force: bool, console: Console | None, progress: bool) -> Verdict:
    distributed.initialize()
    console = console if console is not None and distributed.rank() == 0 else Console(quiet=True)
    resume = resume or (not force and is_prepared(recipe, folder))
    check_folder(recipe, folder, resume=resume, force=force)
    distributed.barrier()  # no process writes before all have checked the folder
    frozen, (all_train, train, validation, test), job = check_recipe(recipe, folder, console)
    job.experiment.set_training(lambda training: with_progress(training, progress))
    with explain_disk_full(folder, "Saved files are complete; make room, then continue with --resume"), lock_run(folder):
        prepare_folder(recipe, folder, resume=resume, force=force)
        _keep_inputs(recipe, folder, frozen, (all_train, train, validation, test))
        for name, model in frozen.items():
            frozen[name] = load_or_train_teacher(recipe, model, all_train, folder, progress=progress, name=name)
            job.experiment.set_module(name, frozen[name])
        job.experiment.trained_first = frozenset(name for name, spec in recipe.pretrained.items() if spec.training is not None)
        job.fit(train, validation)
        if distributed.rank() == 0 and job.seen is not None:
            save_seen(job.seen, folder)
        for name, cache in job.cache_folders.items():
            save_cache_recipe(recipe, cache, folder, name)
        verdict = job.evaluate(test)
        if recipe.export is None:
            return verdict
        chosen = choose_results(list(job.best_models), recipe.export.results)
        best = {name: job.best_models[name] for name in chosen}
        teacher = None if recipe.teacher is None else teacher_as_read(recipe, frozen[TEACHER])
        run = RunModels(recipe, folder, best, teacher, test if train is None else train, test)
        write_exports(recipe.export, run, console, progress=progress)
        return Verdict.load(folder)


RunData: TypeAlias = tuple[Items, Items | None, Items | None, Items]  # all training data, training, validation and test data
Loaded: TypeAlias = tuple[dict[str, nn.Module], RunData]  # the frozen models before their training, by actor, and the data


def check_recipe(
    recipe: Recipe, folder: Path, console: Console, loaded: Loaded | None = None, checked: set[tuple[bool, bool]] | None = None
) -> tuple[dict[str, nn.Module], RunData, Distillation]:
    """Loads data and models and checks that everything fits together; nothing is trained or written.

    Args:
        loaded: what was loaded for a recipe with the same data, models and training.
        checked: see `Experiment`; given for recipes of which only the terms differ.

    Returns:
        the frozen models before their training, by actor; all training data (that of the test without any), training,
        validation and test data; and the distillation.

    Raises:
        ValueError: data, models and terms do not fit.
    """
    frozen, (all_train, train, validation, test) = loaded or _load(recipe)
    if loaded is None:
        _print_data(console, train, validation, test)
    job = recipe.distillation(frozen.get(TEACHER), train, like=test, folder=folder, resume=True)  # the run checks the folder
    job.experiment.config, job.experiment.checked = recipe.model_dump(mode="json"), checked
    if recipe.data.train is not None:
        job.experiment.further_training_data = (all_train,)
    for name, model in frozen.items():
        job.experiment.set_module(name, model)
    job.check(train, validation=validation, test=test)
    if loaded is None:
        check_model_trainings(recipe, frozen, all_train)
    if recipe.export is not None:
        choose_results(list(job.plan.evaluate), recipe.export.results)
    return frozen, (all_train, train, validation, test), job


def _load(recipe: Recipe) -> Loaded:
    """Loads data and frozen models, once it is known that the files can be exported as the recipe says."""
    all_train, train, validation, test = recipe.load()
    all_train = test if all_train is None else all_train  # has the sizes of the data
    if recipe.export is not None:  # a missing package should be found before the training, not after it
        check_formats(recipe.export)
        check_texts(recipe.export, test)
    frozen = build_pretrained(recipe, all_train)
    return frozen, _in_classes_of_teacher(recipe, frozen.get(TEACHER), all_train, train, validation, test)


def _in_classes_of_teacher(
    recipe: Recipe, teacher: nn.Module | None, all_train: Items, train: Items | None, validation: Items | None, test: Items
) -> RunData:
    """Returns the data in the numbering of a teacher that knows more classes, before the student gets as many outputs."""
    if teacher is None or not recipe.new_task().outputs_classes:
        return all_train, train, validation, test
    train, validation = (each and in_classes_of(each, teacher) for each in (train, validation))
    return in_classes_of(all_train, teacher), train, validation, in_classes_of(test, teacher)


def _keep_inputs(recipe: Recipe, folder: Path, models: dict[str, nn.Module], data: RunData) -> None:
    """Compares the files of a run with those that it was started with, and writes how the teacher reads them."""
    names = ("training data of the teacher", "training data", "validation data", "test data")
    check_inputs(recipe, folder, dict(zip(names, data, strict=True)), models)
    _keep_teacher_inputs(data[0], folder)


def _keep_teacher_inputs(train: Items, folder: Path) -> None:
    """Writes how the teacher's field becomes its inputs, which the student's folder does not say."""
    if distributed.rank() != 0 or (folder / TEACHER).exists():
        return
    if isinstance(train.storage, FieldStorage) and TEACHER in train.storage.reads:
        with new_folder(folder / TEACHER) as draft:
            save_preprocessing(train.for_actor(TEACHER), draft)


def _print_data(console: Console, train: Items | None, validation: Items | None, test: Items) -> None:
    text = "no training data"
    if train is not None:
        labelled = len(train.labelled())
        text = f"train {len(train):,} items" + (f" ({labelled:,} with a label)" if labelled < len(train) else "")
    console.print(f"[dim]{text} · validation {len(validation) if validation else 0:,} · test {len(test):,}[/dim]")
    names = (test if train is None else train).class_names
    if names:
        named = ", ".join(f"{number} {cut(name, CLASS_NAME)}" for number, name in enumerate(names[:MAX_CLASS_NAMES]))
        more = f", … {len(names)} in all" if len(names) > MAX_CLASS_NAMES else ""
        console.print(f"[dim]classes: {shown(named)}{more}[/dim]", highlight=False)
        _print_unused_classes(console, names, test if train is None else train)


def _print_unused_classes(console: Console, names: list[str], items: Items) -> None:
    """Says which named classes have no item, as if `classes.json` names more than the data have."""
    if not isinstance(items.target, torch.Tensor) or items.target.ndim != 1 or items.target.is_floating_point():
        return
    used = set(items.target.tolist())
    unused = [name for number, name in enumerate(names) if number not in used]
    if unused:
        listed = ", ".join(unused[:MAX_CLASS_NAMES]) + (", …" if len(unused) > MAX_CLASS_NAMES else "")
        console.print(
            f"{len(names)} classes are named, and the data have labels of {len(names) - len(unused)}; without any: {listed}",
            style="yellow",
            markup=False,
            highlight=False,
        )
