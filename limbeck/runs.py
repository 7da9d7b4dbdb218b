"""A run directory: from a recipe to a judged student on disk, and back."""

from __future__ import annotations

import errno
import functools
import shlex
import shutil
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import nn

from limbeck import models, ranks
from limbeck.distillation import Training, teach
from limbeck.files import LOCK, locked
from limbeck.recipe import DataPart, Recipe, RecipeError, load, missing, read_yaml, shape_of_data
from limbeck.sources import Items
from limbeck.tasks import Classification
from limbeck.verdict import Verdict


class RunError(ValueError):
    """A run directory that cannot be used as asked."""


def carry_out(
    recipe: Recipe,
    folder: Path,
    *,
    resume: bool = False,
    force: bool = False,
    console: Console | None = None,
    progress: bool = True,
) -> Verdict:
    """Do what a recipe says: teacher, student and control for every seed, the verdict, all of it in `folder`.

    An existing directory is never overwritten unless `resume` (go on) or `force` (start over) says so, and not before the data
    is loaded and the models are known to fit it and each other. Of several ranks the first writes, the others wait.

    Raises:
        RunError: the directory holds something else, or the disk is full.
        ValueError: data, models and terms do not fit.
    """
    ranks.start()
    console = console if console is not None and ranks.rank() == 0 else Console(quiet=True)
    _refuse(recipe, folder, resume=resume, force=force)
    wait()  # nobody writes before all have looked
    everything, seen, validation, test = recipe.load()
    _tell_data(console, seen, validation, test)
    teacher = new_teacher(recipe, everything)
    job = recipe.distillation(teacher, seen, folder=folder, resume=True)  # `_refuse` has looked at the directory
    job.check(seen, validation=validation, test=test)
    job.training, job.control_training = _shown(job.training, progress), _shown(job.control_training, progress)
    try:
        with held(folder):
            _prepare(recipe, folder, resume=resume)
            job.teacher = the_teacher(recipe, teacher, everything, folder, progress=progress)
            job.fit(seen, validation)
            return job.judge(test)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise RunError(f"{folder}: {error}. What was saved before is whole; make room, then go on with --resume") from error


def new_teacher(recipe: Recipe, train: Items) -> nn.Module:
    """The recipe's teacher with its weights; where it is to be trained first, as it starts."""
    classes, channels = shape_of_data(train)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seeds[0])
        return recipe.teacher.new(classes, channels).eval()


def the_teacher(recipe: Recipe, teacher: nn.Module, train: Items, folder: Path, *, progress: bool = True) -> nn.Module:
    """The teacher as the students meet it: as it is, or trained on all labels and kept in the run's folder."""
    spec = recipe.teacher
    if spec.training is None:
        return teacher
    kept = folder / "teacher"
    is_kept = (kept / "config.json").exists()
    wait()  # or a rank that comes late would find what the first has just written
    if is_kept:
        return models.load_student(kept)
    classes, channels = shape_of_data(train)
    build = functools.partial(spec.new, classes, channels)
    training = _shown(spec.training.build(), progress)
    place = folder / "checkpoints" / "teacher"
    learnt = teach(build, train, training, seed=recipe.seeds[0], folder=place, log=folder / "log.jsonl", resume=True)
    if ranks.rank() == 0:
        models.save_student(learnt, None, kept)
    return learnt


def held(folder: Path) -> AbstractContextManager[None]:
    """The folder, made where there is none, and kept to this run: its first rank has the lock."""
    if ranks.rank() != 0:
        return nullcontext()
    folder.mkdir(parents=True, exist_ok=True)
    return locked(folder)


def wait() -> None:
    """Until every rank has come here."""
    if ranks.world() > 1:
        torch.distributed.barrier()


def open_run(folder: Path) -> tuple[Recipe, nn.Module]:
    """The recipe and the student of a finished run."""
    _require_finished(folder, "student/config.json", "student")
    written = folder / "recipe.yaml"
    recipe = Recipe.checked(read_yaml(written.read_text(encoding="utf-8")), str(written), files=False)
    return recipe, models.load_student(folder / "student")


def evaluate(folder: Path, data: str, **columns: Any) -> dict[str, Any]:
    """The student of a run on other data: accuracy with its interval."""
    from limbeck.verdict import interval
    from limbeck.verdict.measure import expected_calibration_error

    recipe, student = open_run(folder)
    like = recipe.data.test
    part = DataPart(path=data, size=like.size, channels=like.channels, on_error=like.on_error, **columns)
    items = load(part)
    task = Classification()
    task.check(student, items, "student", data)
    _same_classes(folder, items.class_names)
    known = items.labelled()
    assert known.target is not None
    logits = task.logits(student, known)
    right = (logits.argmax(-1) == known.target).double()
    value, ci95 = interval(right[None].numpy())
    ece = expected_calibration_error(logits.softmax(-1).numpy(), known.target.numpy())
    return {"run": str(folder), "data": data, "items": len(known), task.metric: value, "ci95": list(ci95), "ece": ece}


def verdicts(folders: list[Path]) -> dict[str, Verdict]:
    """The verdicts of several runs, by the shortest names that tell them apart."""
    for folder in folders:
        _require_finished(folder, "verdict.json", "verdict")
    names = [folder.resolve().name for folder in folders]
    labels = [name if names.count(name) == 1 else str(folder) for name, folder in zip(names, folders, strict=True)]
    return {label: Verdict.load(folder) for label, folder in zip(labels, folders, strict=True)}


def _require_finished(folder: Path, file: str, what: str) -> None:
    if not folder.is_dir():
        raise RunError(f"run {folder}: {missing(folder)}")
    if not (folder / "recipe.yaml").exists():
        raise RunError(f"run {folder}: it holds no recipe.yaml, so it is no run directory")
    if not (folder / file).exists():
        raise RunError(f"run {folder}: it has no {what} yet; finish it with: {command(folder)}")


def _same_classes(folder: Path, names: Sequence[str] | None) -> None:
    """Data whose folders or columns number the classes otherwise would be judged against the wrong ones."""
    if names is None or not (folder / "verdict.json").exists():
        return
    known = Verdict.load(folder).classes
    if known and list(names) != known:
        raise RunError(f"the classes of the data ({_few(names)}) are not those of the run ({_few(known)}), in this order")


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f", … {len(names)} in all" if len(names) > 5 else "")


def command(folder: Path, *options: str) -> str:
    """The line that goes on with a run. Its own recipe holds every change that the command line made to the first one."""
    return shlex.join(["limbeck", "distill", str(folder / "recipe.yaml"), "--out", str(folder), "--resume", *options])


def _refuse(recipe: Recipe, folder: Path, *, resume: bool, force: bool) -> None:
    """Refuse a directory that holds anything else than what `resume` or `force` was meant for; nothing is touched yet."""
    if resume and force:
        raise RunError("--resume goes on with a run and --force starts it over; give one of the two")
    if folder.exists() and not folder.is_dir():
        raise RunError(f"--out {folder} is a file; choose a directory")
    left = [path.name for path in folder.iterdir()] if folder.exists() else []
    if all(name == LOCK or name.startswith(".recipe.yaml.") for name in left):  # what one killed at its very beginning leaves
        return
    written = folder / "recipe.yaml"
    if not written.exists():
        raise RunError(f"{folder} holds files that are no run, and they stay as they are; choose another --out")
    if not (resume or force):
        raise RunError(f"{folder} holds a run already; go on with --resume, start over with --force, or choose another --out")
    if resume:
        changed = differences(read_yaml(written.read_text(encoding="utf-8")), recipe.model_dump(mode="json"))
        if changed:
            raise RunError(
                f"{folder} was begun with another recipe: {'; '.join(changed)}. Go on with its own: {command(folder)}"
            )


def differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What has changed since a run was begun, field by field; goals may change, and seeds may be added."""
    now, before = ({name: part[name] for name in part if name not in ("targets", "description")} for part in (now, before))
    seeds = before.get("seeds")
    if isinstance(seeds, list) and now["seeds"][: len(seeds)] == seeds:
        now["seeds"] = seeds
    return list(_differences(before, now, ""))


def _differences(before: Any, now: Any, path: str) -> Iterator[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        for name in dict.fromkeys([*before, *now]):
            yield from _differences(before.get(name), now.get(name), f"{path}.{name}" if path else name)
    elif before != now:
        yield f"{path} was {before!r} and is {now!r}"


def _prepare(recipe: Recipe, folder: Path, *, resume: bool) -> None:
    """Make the directory and write the resolved recipe; what was there, `_refuse` has allowed to go."""
    if ranks.rank() == 0:
        if not resume:
            _clear(folder)
        recipe.write(folder / "recipe.yaml")
    wait()


def _clear(folder: Path) -> None:
    """Empty a run directory, its recipe last: killed half-way, it is still seen to be a run."""
    left = [path for path in folder.iterdir() if path.name != LOCK]
    for path in sorted(left, key=lambda path: path.name == "recipe.yaml"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _tell_data(console: Console, seen: Items, validation: Items | None, test: Items) -> None:
    labelled = len(seen.labelled())
    text = f"train {len(seen):,} items" + (f" ({labelled:,} with a label)" if labelled < len(seen) else "")
    console.print(f"[dim]{text} · validation {len(validation) if validation else 0:,} · test {len(test):,}[/dim]")


def _shown(training: Training, progress: bool) -> Training:
    return replace(training, settings=replace(training.settings, progress=progress))


__all__ = ["RecipeError", "RunError", "carry_out", "command", "evaluate", "open_run", "the_teacher", "verdicts"]
