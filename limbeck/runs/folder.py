"""The files of a run: opening a finished run, its verdicts, and the lock that one process holds while it works in a folder."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from torch import nn

from limbeck import models
from limbeck.evaluation import DamagedVerdictError, Verdict
from limbeck.evaluation.arms import DEFAULT_RESULT
from limbeck.models.tokenizer import load_tokenizer
from limbeck.recipe import Federation, Recipe, describe_missing, loaded_plugins, read_fields
from limbeck.runs.plugins import load_run_plugins
from limbeck.teacher_cache.store.manifest import NAME as MANIFEST
from limbeck.utils import distributed
from limbeck.utils.folder_lock import lock_folder
from limbeck.utils.json_files import NotJsonError

RECIPE, VERDICT = "recipe.yaml", "verdict.json"
STUDENT, TEACHER = "student", "teacher"


class RunError(ValueError):
    """A run folder that cannot be used as requested."""


def open_run(folder: Path) -> tuple[Recipe, nn.Module]:
    """Returns the recipe and the student of a finished run.

    Raises:
        RunError: `folder` is no run, or its student is not trained yet.
    """
    require_file(folder, f"{STUDENT}/config.json", "student")
    return read_recipe(folder), models.load_model(folder / STUDENT)


def open_recipe(folder: Path) -> Recipe:
    """Returns the recipe of a finished run.

    Raises:
        RunError: `folder` is no run, or its student is not trained yet.
    """
    kept = (folder / STUDENT).exists() and (folder / VERDICT).exists()  # perhaps in a form that only its user can load
    require_file(folder, STUDENT if kept else f"{STUDENT}/config.json", "student")
    return read_recipe(folder)


def read_recipe(folder: Path, changes: Mapping[str, Any] | None = None) -> Recipe:
    """Returns the recipe of a finished run, which reads data as the student of the run does.

    Args:
        changes: fields that are replaced.
    """
    written = folder / RECIPE
    load_run_plugins(folder)
    content = read_fields(written) | dict(changes or {})
    if "federated" in content:
        content = Federation.from_dict(content, str(written), files=False).in_one_place()
    recipe = Recipe.from_dict(content, str(written), files=False)
    if recipe.student.vocabulary is not None:
        recipe.reader.student_tokenizer = load_tokenizer(str(folder / STUDENT), local_files_only=True)
    for name, model in recipe.reader.models.items():
        recipe.reader.preprocessing.load(folder / name, model.reads)
    return recipe


def load_verdicts(folders: Sequence[Path]) -> dict[str, Verdict]:
    """Returns the verdicts of several runs by folder name; by path if two folders have the same name. Each run once."""
    folders = list(dict.fromkeys(folders))
    for folder in folders:
        require_verdict(folder)
    names = [folder.resolve().name for folder in folders]
    labels = [name if names.count(name) == 1 else str(folder) for name, folder in zip(names, folders, strict=True)]
    return {label: read_verdict(folder) for label, folder in zip(labels, folders, strict=True)}


def require_verdict(folder: Path) -> None:
    """Raises `RunError` if the folder has no verdict, or a damaged one. The recipe may be missing."""
    if (folder / VERDICT).exists():
        read_verdict(folder)
    else:
        require_file(folder, VERDICT, "verdict")


def read_verdict(folder: Path) -> Verdict:
    """Returns the verdict of a run.

    Raises:
        FileNotFoundError: there is none.
        RunError: it is damaged; the message has the command that writes it anew, from the models and checkpoints of the run.
        ValueError: it is of a newer format than this version reads.
    """
    try:
        return Verdict.load(folder)
    except (NotJsonError, DamagedVerdictError) as error:
        raise RunError(f"{error}. {_remedy(folder)}") from error


def _remedy(folder: Path) -> str:
    try:
        return f"Write it anew, from the models that are kept, with: {resume_command(folder)}"
    except ValueError:
        return f"Its {RECIPE} is damaged too, so that it cannot be written anew"


def require_file(folder: Path, file: str, what: str) -> None:
    """Raises `RunError` if `folder` is no run, or if `file`, which holds its `what`, is not written yet."""
    if not folder.is_dir():
        raise RunError(f"run {folder}: {describe_missing(folder)}")
    if not (folder / RECIPE).exists():
        raise RunError(f"run {folder}: it holds no {RECIPE}, so it is no run directory")
    if is_cache(folder):
        raise RunError(f"{folder} holds cached teacher outputs, not a run; see: limbeck cache info {shlex.quote(str(folder))}")
    if variants := variants_of(folder):
        raise RunError(f"{folder} is a comparison, not a run; name one of its runs, such as {folder / variants[0]}")
    if not (folder / file).exists():
        raise RunError(f"run {folder}: it has no {what} yet; finish it with: {resume_command(folder)}")


def load_verdict(folder: Path) -> Verdict | None:
    """Returns the verdict of a run; None if it has none yet."""
    return read_verdict(folder) if (folder / VERDICT).exists() else None


def results_of(folder: Path) -> list[str]:
    """Returns the results of a run in their order; without a verdict the one of a run with one student."""
    verdict = load_verdict(folder)
    return [DEFAULT_RESULT] if verdict is None else list(verdict.results)


def class_names_of(folder: Path) -> list[str] | None:
    """Returns the class names of a run in label order; None if the classes have no names."""
    verdict = load_verdict(folder)
    return None if verdict is None else verdict.classes or None


def class_count_of(folder: Path) -> int | None:
    """Returns the number of classes of a run; None if it has no classes, or no verdict."""
    verdict = load_verdict(folder)
    if verdict is None:
        return None
    return len(verdict.classes or verdict.student.per_class or ()) or None


def resume_command(folder: Path, *options: str) -> str:
    """Returns the command line that resumes a run.

    The recipe in the folder already holds the `--set` changes. Plugins are not part of a recipe, so they are repeated.
    """
    plugins = [f"--plugin={path}" for path in loaded_plugins]
    command = "federate" if is_federation(folder) else "distill"
    return shlex.join(["limbeck", command, str(folder / RECIPE), "--out", str(folder), "--resume", *plugins, *options])


def is_federation(folder: Path) -> bool:
    """Whether the run in a folder is that of a federation."""
    return (folder / RECIPE).exists() and "federated" in read_fields(folder / RECIPE)


def is_cache(folder: Path) -> bool:
    """Whether a folder is that of a teacher cache, which holds the recipe that computes its outputs, and no run."""
    if (folder / VERDICT).exists() or any(folder.glob("checkpoints/seed-*")):
        return False
    return (folder / MANIFEST).exists() or any(folder.glob(f"*/{MANIFEST}"))


def variants_of(folder: Path) -> list[str]:
    """Returns the names of the variants of a comparison, each a run in a folder of its own; of a run none."""
    return list(read_fields(folder / RECIPE).get("variants") or ()) if (folder / RECIPE).exists() else []


def lock_run(folder: Path) -> AbstractContextManager[None]:
    """Creates `folder` and holds its lock. Of several processes of one run only rank 0 takes the lock."""
    if distributed.rank() != 0:
        return nullcontext()
    folder.mkdir(parents=True, exist_ok=True)
    return lock_folder(folder)
