"""A recipe run in a folder: teacher, student and control for every seed, then the verdict and the exports."""

from __future__ import annotations

import errno
from pathlib import Path

from rich.console import Console

from limbeck.data import FieldStorage, Items
from limbeck.data.fields import save_preprocessing
from limbeck.evaluation import Verdict
from limbeck.recipe import Recipe
from limbeck.runs.cache import save_cache_recipe
from limbeck.runs.export import RunModels, check_formats, check_texts, write_exports
from limbeck.runs.folder import TEACHER, RunError, lock_run
from limbeck.runs.resume import check_folder, prepare_folder
from limbeck.runs.teacher import build_teacher, load_or_train_teacher, with_progress
from limbeck.utils import distributed

MAX_CLASS_NAMES = 8  # printed before a training


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
        RunError: the folder holds something else, or the disk is full.
        ValueError: data, models and terms do not fit.
    """
    distributed.initialize()
    console = console if console is not None and distributed.rank() == 0 else Console(quiet=True)
    check_folder(recipe, folder, resume=resume, force=force)
    distributed.barrier()  # no process writes before all have checked the folder
    all_train, train, validation, test = recipe.load()
    _print_data(console, train, validation, test)
    if recipe.export is not None:  # a missing package should be found before the training, not after it
        check_formats(recipe.export)
        check_texts(recipe.export, test)
    teacher = build_teacher(recipe, all_train)
    job = recipe.distillation(teacher, train, folder=folder, resume=True)  # check_folder has checked what it may resume
    job.check(train, validation=validation, test=test)
    training, control_training = job.experiment.training, job.experiment.control_training
    job.experiment.training = with_progress(training, progress)
    job.experiment.control_training = with_progress(control_training, progress)
    try:
        with lock_run(folder):
            prepare_folder(recipe, folder, resume=resume)
            _keep_teacher_inputs(all_train, folder)
            job.experiment.teacher = load_or_train_teacher(recipe, teacher, all_train, folder, progress=progress)
            job.fit(train, validation)
            if job.cache_folder is not None:
                save_cache_recipe(recipe, job.cache_folder, folder)
            verdict = job.evaluate(test)
            if recipe.export is None:
                return verdict
            run = RunModels(recipe, folder, job.best, job.experiment.teacher, train, test)
            write_exports(recipe.export, run, console, progress=progress)
            return Verdict.load(folder)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise RunError(f"{folder}: {error}. Saved files are complete; make room, then continue with --resume") from error


def _keep_teacher_inputs(train: Items, folder: Path) -> None:
    """Writes how the teacher's field becomes its inputs, which the student's folder does not say."""
    if isinstance(train.storage, FieldStorage) and "teacher" in train.storage.reads and distributed.rank() == 0:
        (folder / TEACHER).mkdir(parents=True, exist_ok=True)
        save_preprocessing(train.for_actor("teacher"), folder / TEACHER)


def _print_data(console: Console, train: Items, validation: Items | None, test: Items) -> None:
    labelled = len(train.labelled())
    text = f"train {len(train):,} items" + (f" ({labelled:,} with a label)" if labelled < len(train) else "")
    console.print(f"[dim]{text} · validation {len(validation) if validation else 0:,} · test {len(test):,}[/dim]")
    if train.class_names:
        named = ", ".join(f"{number} {name}" for number, name in enumerate(train.class_names[:MAX_CLASS_NAMES]))
        more = f", … {len(train.class_names)} in all" if len(train.class_names) > MAX_CLASS_NAMES else ""
        console.print(f"[dim]classes: {named}{more}[/dim]", highlight=False)
