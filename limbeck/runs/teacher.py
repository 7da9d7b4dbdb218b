"""Models that are trained before the run, or come with weights: the teacher, and further frozen actors.

Each is built with its weights, trained first where the recipe says so, or rebuilt for a finished run.
"""

from __future__ import annotations

import functools
import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import nn

from limbeck import models
from limbeck.core import module_of
from limbeck.core.actors import Actor, frozen
from limbeck.core.teachers import Teacher
from limbeck.core.teachers import teacher as make_teacher
from limbeck.data import FieldStorage, Items, TokenStorage
from limbeck.data.fields import save_preprocessing
from limbeck.engine.trackers import check_trackers
from limbeck.engine.training import Training
from limbeck.experiment.plan import references_of, whole_reference
from limbeck.experiment.plan_checks import matching_actors
from limbeck.experiment.teacher_training import check_teacher_training, train_teacher
from limbeck.models.saving import name_classes
from limbeck.recipe import DataSizes, Recipe, data_sizes
from limbeck.recipe.plan_builder import unbuilt
from limbeck.recipe.schema.models import ActorSpec, TeacherSpec
from limbeck.runs.folder import STUDENT, TEACHER, RunError, lock_run
from limbeck.utils import distributed
from limbeck.utils.atomic_files import DRAFT, flush, new_folder, remove_drafts
from limbeck.utils.checksums import write_checksums
from limbeck.utils.seeds import mix_seeds

# settings that do not change the weights of a teacher
NO_EFFECT = (
    *("threads", "trackers", "log_every", "checkpoint_every", "prefetch", "workers", "device"),
    *("shard", "gradient_checkpointing", "evaluation_batch_size"),
)


def build_pretrained(recipe: Recipe, train: Items) -> dict[str, nn.Module]:
    """Returns the frozen models of a recipe with their weights, by actor; before their training, if the recipe trains them.

    Args:
        train: items with the sizes of the data.
    """
    return {name: _new_model(recipe, name, data_sizes(train.for_actor(name))) for name in recipe.pretrained}


def build_teacher(recipe: Recipe, train: Items) -> nn.Module:
    """Returns the teacher of a recipe with its weights; before its training, if the recipe trains it."""
    return _new_model(recipe, TEACHER, data_sizes(train.for_actor(TEACHER)))


def load_or_train_teacher(
    recipe: Recipe, teacher: nn.Module, train: Items, folder: Path, *, progress: bool = True, name: str = TEACHER
) -> nn.Module:
    """Returns a frozen model that the students learn from.

    A model without `training` is used as it is. Otherwise it is loaded from its folder in `folder`, or trained on all labels
    and saved there. With `shared` runs in neighbouring folders use one trained model.

    Args:
        name: of the actor.
    """
    spec = recipe.pretrained[name]
    if spec.training is None:
        return teacher
    saved = folder / model_folder(name)
    is_saved = (saved / "config.json").exists()
    distributed.barrier()  # otherwise a late process could find what rank 0 has just written
    if is_saved:
        return models.load_model(saved)
    if spec.shared:
        shared = _shared_folder(recipe, name, train, folder)
        trained = _load_or_train_shared(recipe, name, train, shared, progress=progress)
    else:
        trained = _train_model(recipe, name, train, folder, progress=progress)
    if distributed.rank() == 0:
        name_classes(trained, train.class_names)
        own = train.for_actor(name)
        with new_folder(saved) as draft:
            models.save_model(trained, None, draft)
            if isinstance(own.storage, TokenStorage) or isinstance(train.storage, FieldStorage):
                save_preprocessing(own, draft)
            write_checksums(draft)
    return trained


def check_model_trainings(recipe: Recipe, models: Mapping[str, nn.Module], train: Items) -> None:
    """Checks that the models that a recipe trains first can be trained on its data.

    Args:
        models: before their training, by actor.

    Raises:
        ValueError: they cannot; the message names the model.
    """
    for name, model in models.items():
        spec = recipe.pretrained[name]
        if spec.training is not None:
            check_trackers(spec.training.trackers)
            training, task = spec.training.build(), recipe.new_task()
            check_teacher_training(model, train, training, task=task, name=name, output=spec.output)


def model_folder(name: str) -> str:
    """The folder of a trained frozen model within that of its run."""
    return TEACHER if name == TEACHER else f"actors/{name}"


def rebuild_teacher(recipe: Recipe, folder: Path, sizes: DataSizes, console: Console) -> nn.Module | None:
    """Returns the teacher of a finished run; None if it has none. Prints why and returns None if it cannot be rebuilt.

    Args:
        sizes: of the run's data.
    """
    if recipe.teacher is None:
        return None
    try:
        if (folder / TEACHER / "config.json").exists():
            return teacher_as_read(recipe, models.load_model(folder / TEACHER))
        if recipe.teacher.training is None:
            return teacher_as_read(recipe, _new_model(recipe, TEACHER, sizes))
        reason = f"{folder / TEACHER} is gone"
    except (ValueError, OSError, ImportError, RuntimeError) as error:
        reason = str(error)
    console.print(f"without the teacher, which cannot be rebuilt: {reason}", style="yellow", markup=False, soft_wrap=True)
    return None


def teacher_as_read(recipe: Recipe, model: nn.Module) -> nn.Module:
    """Returns the teacher as a module of the output that the recipe chooses."""
    assert recipe.teacher is not None
    return module_of(TEACHER, {TEACHER: frozen(model, output=recipe.teacher.output)})


def rebuild_compared(recipe: Recipe, folder: Path, items: Items, classes: int | None, console: Console) -> nn.Module | None:
    """Returns what the verdict of a finished run compares with: `evaluate.teacher`, such as an ensemble, or else the teacher.

    Prints why and returns None if it cannot be rebuilt.

    Args:
        items: data as the models read it.
        classes: of the run; None: those of the data.
    """

    def sizes(name: str) -> DataSizes:
        own = data_sizes(items.for_actor(name))
        return own._replace(classes=classes or own.classes)  # other data may lack some of the classes

    if TEACHER not in (recipe.results or {}):
        return None if recipe.teacher is None else rebuild_teacher(recipe, folder, sizes(TEACHER), console)
    try:
        evaluated = compared_in(recipe)
        return module_of(evaluated, {name: _rebuilt(recipe, folder, name, sizes) for name in actors_in(recipe, evaluated)})
    except (ValueError, OSError, ImportError, RuntimeError) as error:
        console.print(f"without the teacher, which cannot be rebuilt: {error}", style="yellow", markup=False, soft_wrap=True)
        return None


def compared_in(recipe: Recipe) -> str | Teacher:
    """Returns what the verdict of a recipe compares with: `evaluate.teacher`, or else the teacher."""
    given = (recipe.results or {}).get(TEACHER, TEACHER)
    return whole_reference(given, _known(recipe)) if isinstance(given, str) else make_teacher(given)


def actors_in(recipe: Recipe, evaluated: str | Teacher) -> list[str]:
    """Returns the actors that a reference or an ensemble reads."""
    return matching_actors("evaluate.teacher", references_of(evaluated), TEACHER, _known(recipe))


def _known(recipe: Recipe) -> dict[str, Actor]:
    """The actors that a recipe names, without their models."""
    return {name: frozen(unbuilt) for name in (STUDENT, *([] if recipe.teacher is None else [TEACHER]), *recipe.actor_names)}


def _rebuilt(recipe: Recipe, folder: Path, name: str, sizes: Callable[[str], DataSizes]) -> Actor:
    """Returns a frozen actor of a finished run."""
    if name not in recipe.pretrained:
        raise RunError(f"evaluate.teacher: {name!r} is trained by the run, which keeps results only")
    spec, saved = recipe.pretrained[name], folder / model_folder(name)
    if (saved / "config.json").exists():
        return frozen(models.load_model(saved), reads=spec.reads, output=spec.output)
    if spec.training is not None:
        raise RunError(f"{saved} is gone")
    return frozen(_new_model(recipe, name, sizes(name)), reads=spec.reads, output=spec.output)


def with_progress(training: Training, progress: bool) -> Training:
    """Returns the training with its progress bar switched on or off."""
    return replace(training, settings=replace(training.settings, progress=progress))


def _new_model(recipe: Recipe, name: str, sizes: DataSizes) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_seed(recipe, name))
        return recipe.pretrained[name].new(*sizes).eval()


def _seed(recipe: Recipe, name: str) -> int:
    """The first seed; of further models one of their own, so that two of one kind become different."""
    return recipe.seeds[0] if name == TEACHER else mix_seeds(recipe.seeds[0], name)


def _load_or_train_shared(recipe: Recipe, name: str, train: Items, shared: Path, *, progress: bool) -> nn.Module:
    with lock_run(shared):
        found = (shared / "config.json").exists()
        trained = models.load_model(shared) if found else _train_model(recipe, name, train, shared, progress=progress)
        if distributed.rank() == 0 and not found:
            _write_beside_lock(trained, shared)
            shutil.rmtree(shared / "checkpoints", ignore_errors=True)
    return trained


def _write_beside_lock(model: nn.Module, folder: Path) -> None:
    """Saves a model into a folder that holds the lock of its training, and so cannot be replaced: `config.json`, by which a
    model is found, comes last, when all other files are whole."""
    remove_drafts(folder / "model")  # of a killed process
    with tempfile.TemporaryDirectory(dir=folder, prefix=".model.", suffix=DRAFT) as place:
        draft = Path(place)
        models.save_model(model, None, draft)
        write_checksums(draft)
        paths = [path for path in draft.rglob("*") if path.is_file()]
        for path in sorted(paths, key=lambda path: path == draft / "config.json"):
            flush(path)
            target = folder / path.relative_to(draft)
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)
    flush(folder)


def _train_model(recipe: Recipe, name: str, train: Items, folder: Path, *, progress: bool) -> nn.Module:
    """Trains a model on all labels. Its checkpoints and log are written into `folder`."""
    spec = recipe.pretrained[name]
    assert spec.training is not None
    build = functools.partial(spec.new, *data_sizes(train.for_actor(name)))
    training, task = with_progress(spec.training.build(), progress), recipe.new_task()
    settings = replace(training.settings, project=recipe.name, config=recipe.model_dump(mode="json"))
    training = replace(training, settings=settings)
    return train_teacher(
        build,
        train,
        training,
        task=task,
        seed=_seed(recipe, name),
        name=name,
        output=spec.output,
        shown_seed=recipe.seeds[0],
        folder=folder / "checkpoints" / name,
        log=folder / "log.jsonl",
        resume=True,
    )


def _shared_folder(recipe: Recipe, name: str, train: Items, folder: Path) -> Path:
    """Returns the folder of a model that neighbouring runs share, named by a hash of its recipe and its training data."""
    spec = recipe.pretrained[name]
    identity = {
        "teacher": spec.model_dump(mode="json", include=set(TeacherSpec.model_fields), exclude=_unhashed(spec)),
        "task": recipe.task,
        "seed": _seed(recipe, name),
        "data": train.fingerprint(),
        "read": getattr(train.for_actor(name).storage, "identity", str)(),
    }
    digest = hashlib.blake2b(json.dumps(identity, sort_keys=True).encode(), digest_size=6).hexdigest()
    return folder.parent / "teachers" / digest


def _unhashed(spec: TeacherSpec | ActorSpec) -> dict[str, Any]:
    """The fields without influence on the weights; newer ones only count if they are set, so that older folders are found."""
    default = {
        name: TeacherSpec.model_fields[name].get_default(call_default_factory=True) for name in ("reads", "output", "exits")
    }
    unset = {name: True for name, value in default.items() if getattr(spec, name) == value}
    return {"training": set(NO_EFFECT), "shared": True, **unset}
