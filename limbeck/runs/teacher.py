"""The teacher of a run: built with its weights, trained first where the recipe says so, or rebuilt for a finished run."""

from __future__ import annotations

import functools
import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import nn

from limbeck import models
from limbeck.data import Items, TokenStorage
from limbeck.engine.training import Training
from limbeck.experiment.teacher_training import train_teacher
from limbeck.recipe import DataSizes, Recipe, data_sizes
from limbeck.recipe.schema.models import TeacherSpec
from limbeck.runs.folder import TEACHER, lock_run
from limbeck.utils import distributed

NO_EFFECT = ("threads", "trackers", "log_every", "checkpoint_every", "prefetch", "device")  # on the weights of a teacher


def build_teacher(recipe: Recipe, train: Items) -> nn.Module:
    """Returns the teacher of a recipe with its weights; before its training, if the recipe trains it."""
    return _new_teacher(recipe, data_sizes(train.for_actor("teacher")))


def load_or_train_teacher(
    recipe: Recipe, teacher: nn.Module, train: Items, folder: Path, *, progress: bool = True
) -> nn.Module:
    """Returns the teacher that the students learn from.

    A recipe without `teacher.training` uses `teacher` as it is. Otherwise it is loaded from `folder/teacher`, or trained on
    all labels and saved there. With `teacher.shared` runs in neighbouring folders use one trained teacher.
    """
    spec = recipe.teacher
    if spec.training is None:
        return teacher
    saved = folder / TEACHER
    is_saved = (saved / "config.json").exists()
    distributed.barrier()  # otherwise a late process could find what rank 0 has just written
    if is_saved:
        return models.load_model(saved)
    if spec.shared:
        trained = _load_or_train_shared(recipe, train, _shared_folder(recipe, train, folder), progress=progress)
    else:
        trained = _train_teacher(recipe, train, folder, progress=progress)
    if distributed.rank() == 0:
        models.save_model(trained, None, saved)
        storage = train.for_actor("teacher").storage
        if isinstance(storage, TokenStorage):
            storage.tokenizer.save_pretrained(saved)
    return trained


def rebuild_teacher(recipe: Recipe, folder: Path, sizes: DataSizes, console: Console) -> nn.Module | None:
    """Returns the teacher of a finished run. Prints why and returns None if it cannot be rebuilt.

    Args:
        sizes: of the run's data.
    """
    try:
        if (folder / TEACHER / "config.json").exists():
            return models.load_model(folder / TEACHER)
        if recipe.teacher.training is None:
            return _new_teacher(recipe, sizes)
        reason = f"{folder / TEACHER} is gone"
    except (ValueError, OSError, ImportError, RuntimeError) as error:
        reason = str(error)
    console.print(f"without the teacher, which cannot be rebuilt: {reason}", style="yellow", markup=False, soft_wrap=True)
    return None


def with_progress(training: Training, progress: bool) -> Training:
    """Returns the training with its progress bar switched on or off."""
    return replace(training, settings=replace(training.settings, progress=progress))


def _new_teacher(recipe: Recipe, sizes: DataSizes) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seeds[0])
        return recipe.teacher.new(*sizes).eval()


def _load_or_train_shared(recipe: Recipe, train: Items, shared: Path, *, progress: bool) -> nn.Module:
    with lock_run(shared):
        found = (shared / "config.json").exists()
        trained = models.load_model(shared) if found else _train_teacher(recipe, train, shared, progress=progress)
        if distributed.rank() == 0 and not found:
            models.save_model(trained, None, shared)
            shutil.rmtree(shared / "checkpoints", ignore_errors=True)
    return trained


def _train_teacher(recipe: Recipe, train: Items, folder: Path, *, progress: bool) -> nn.Module:
    """Trains the teacher on all labels. Its checkpoints and log are written into `folder`."""
    spec = recipe.teacher
    assert spec.training is not None
    build = functools.partial(spec.new, *data_sizes(train.for_actor("teacher")))
    training, task = with_progress(spec.training.build(), progress), recipe.new_task()
    checkpoints, log = folder / "checkpoints" / TEACHER, folder / "log.jsonl"
    return train_teacher(build, train, training, task=task, seed=recipe.seeds[0], folder=checkpoints, log=log, resume=True)


def _shared_folder(recipe: Recipe, train: Items, folder: Path) -> Path:
    """Returns the folder of a teacher that neighbouring runs share, named by a hash of its recipe and its training data."""
    identity = {
        "teacher": recipe.teacher.model_dump(mode="json", exclude=_unhashed(recipe.teacher)),
        "task": recipe.task,
        "seed": recipe.seeds[0],
        "data": train.fingerprint(),
        "read": getattr(train.for_actor("teacher").storage, "identity", str)(),
    }
    name = hashlib.blake2b(json.dumps(identity, sort_keys=True).encode(), digest_size=6).hexdigest()
    return folder.parent / "teachers" / name


def _unhashed(teacher: TeacherSpec) -> dict[str, Any]:
    """The fields without influence on the weights; newer ones only count if they are set, so that older folders are found."""
    default = {
        name: TeacherSpec.model_fields[name].get_default(call_default_factory=True) for name in ("reads", "output", "exits")
    }
    unset = {name: True for name, value in default.items() if getattr(teacher, name) == value}
    return {"training": set(NO_EFFECT), "shared": True, **unset}
