"""A run directory: from a recipe to a judged student on disk, and back."""

from __future__ import annotations

import functools
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from torch import nn

from limbeck import models
from limbeck.distillation import Training, teach
from limbeck.recipe import DataPart, Recipe, RecipeError, load, shape_of_data
from limbeck.sources import Items
from limbeck.tasks import Classification
from limbeck.verdict import Verdict


class RunError(ValueError):
    """A run directory that cannot be used as asked."""


def carry_out(
    recipe: Recipe, folder: Path, *, resume: bool = False, force: bool = False, console: Console | None = None, progress: bool = True
) -> Verdict:
    """Do what a recipe says: teacher, student and control for every seed, the verdict, all of it in `folder`.

    An existing directory is never overwritten unless `resume` (go on) or `force` (start over) says so.
    """
    console = console or Console(quiet=True)
    _prepare(recipe, folder, resume=resume, force=force)
    everything, seen, validation, test = recipe.load()
    _tell_data(console, seen, validation, test)
    teacher = the_teacher(recipe, everything, folder, resume=resume, progress=progress)
    job = recipe.distillation(teacher, seen, folder=folder, resume=resume)
    job.training, job.control_training = _shown(job.training, progress), _shown(job.control_training, progress)
    job.fit(seen, validation)
    return job.judge(test)


def the_teacher(recipe: Recipe, train: Items, folder: Path, *, resume: bool = False, progress: bool = True) -> nn.Module:
    """The recipe's teacher: loaded, or trained on all labels and kept in the run's folder."""
    classes, channels = shape_of_data(train)
    spec = recipe.teacher
    if spec.training is None:
        return spec.new(classes, channels).eval()
    kept = folder / "teacher"
    if resume and (kept / "config.json").exists():
        return models.load_student(kept)
    training = _shown(spec.training.build(), progress)
    build = functools.partial(spec.new, classes, channels)
    place = folder / "checkpoints" / "teacher"
    teacher = teach(build, train, training, seed=recipe.seeds[0], folder=place, log=folder / "log.jsonl", resume=resume)
    models.save_student(teacher, None, kept)
    return teacher


def open_run(folder: Path) -> tuple[Recipe, nn.Module]:
    """The recipe and the student of a finished run."""
    if not folder.is_dir():
        raise RunError(f"run {folder}: there is no such directory")
    if not (folder / "recipe.yaml").exists():
        raise RunError(f"run {folder}: it holds no recipe.yaml, so it is no run directory")
    if not (folder / "student" / "config.json").exists():
        raise RunError(f"run {folder}: it has no student yet; finish it with: limbeck distill {folder}/recipe.yaml --out {folder} --resume")
    recipe = Recipe.checked(yaml.safe_load((folder / "recipe.yaml").read_text()), f"{folder}/recipe.yaml")
    return recipe, models.load_student(folder / "student")


def evaluate(folder: Path, data: str, **columns: Any) -> dict[str, float | int | str]:
    """The student of a run on other data: accuracy with its interval."""
    from limbeck.verdict import interval
    from limbeck.verdict.measure import expected_calibration_error

    recipe, student = open_run(folder)
    like = recipe.data.test
    part = DataPart(path=data, size=like.size, channels=like.channels, on_error=like.on_error, **columns)
    items = load(part)
    task = Classification()
    task.check(student, items, "student")
    known = items.labelled()
    assert known.target is not None
    logits = task.logits(student, known)
    right = (logits.argmax(-1) == known.target).double()
    value, ci95 = interval(right[None].numpy())
    ece = expected_calibration_error(logits.softmax(-1).numpy(), known.target.numpy())
    return {"run": str(folder), "data": data, "items": len(known), task.metric: value, "ci95": list(ci95), "ece": ece}  # type: ignore[dict-item]


def verdicts(folders: list[Path]) -> dict[str, Verdict]:
    """The verdicts of several runs, by the shortest names that tell them apart."""
    names = [folder.resolve().name for folder in folders]
    labels = [name if names.count(name) == 1 else str(folder) for name, folder in zip(names, folders, strict=True)]
    return {label: Verdict.load(folder) for label, folder in zip(labels, folders, strict=True)}


def _prepare(recipe: Recipe, folder: Path, *, resume: bool, force: bool) -> None:
    """Make the directory and write the resolved recipe, without touching what another run left there."""
    if folder.exists() and any(folder.iterdir()) and not (resume or force):
        raise RunError(f"{folder} holds a run already; go on with --resume, start over with --force, or choose another --out")
    if folder.exists() and force and not resume:
        if not (folder / "recipe.yaml").exists() and any(folder.iterdir()):
            raise RunError(f"{folder} holds files that are no run; --force does not delete them. Choose another --out")
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    written = folder / "recipe.yaml"
    if resume and written.exists():
        before = yaml.safe_load(written.read_text())
        now = recipe.model_dump(mode="json")
        changed = [name for name in now if now[name] != before.get(name) and name not in ("targets", "description", "seeds")]
        if changed:
            raise RunError(f"{folder} was begun with another recipe: {', '.join(changed)} differ. Resume it with its own recipe.yaml")
    recipe.write(written)


def _tell_data(console: Console, seen: Items, validation: Items | None, test: Items) -> None:
    labelled = len(seen.labelled())
    text = f"train {len(seen):,} items" + (f" ({labelled:,} with a label)" if labelled < len(seen) else "")
    console.print(f"[dim]{text} · validation {len(validation) if validation else 0:,} · test {len(test):,}[/dim]")


def _shown(training: Training, progress: bool) -> Training:
    return replace(training, settings=replace(training.settings, progress=progress))


__all__ = ["RecipeError", "RunError", "carry_out", "evaluate", "open_run", "the_teacher", "verdicts"]
