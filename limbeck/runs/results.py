"""The results of a finished run: which there are, their saved models, and whose inputs they read."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from limbeck import models
from limbeck.core.teachers import Teacher
from limbeck.evaluation.arms import STUDENT, TEACHER, ArmName, arm_folder
from limbeck.recipe import Recipe
from limbeck.runs.folder import results_of
from limbeck.utils.registry import UnknownNameError

CONFIG = "config.json"  # beside the weights of a model that can be loaded


class SavedResults(NamedTuple):
    """The results of a run.

    Attributes:
        models: by result, on the CPU and in evaluation mode.
        missing: results whose model was not kept in a form that can be loaded, with the reason.
    """

    models: dict[str, nn.Module]
    missing: dict[str, str]


def load_results(folder: Path, wanted: Sequence[str] = ()) -> SavedResults:
    """Loads the distilled models of a run, those of the seed whose first result is the best.

    Args:
        wanted: names or patterns of results; empty: all.

    Raises:
        UnknownNameError: a name that no result has.
    """
    names = results_of(folder)
    found, missing = {}, {}
    for result in choose_results(names, wanted):
        path = folder / arm_folder(str(ArmName(result, STUDENT)), names[0])
        if not (path / CONFIG).exists():
            missing[result] = f"{path} holds no model that can be loaded"
            continue
        try:
            found[result] = models.load_model(path)
        except (ValueError, OSError, ImportError, RuntimeError) as error:
            missing[result] = f"{path} cannot be loaded: {error}"
    return SavedResults(found, missing)


def choose_results(names: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """Returns the results of these names, in the order of the run; all if no names are given.

    A name stands for itself, a pattern (`early.*`) for what it matches, and the name of a pattern in `evaluate:` (`early`) for
    all of its results.

    Raises:
        UnknownNameError: a name that stands for none; the message lists the nearest.
    """
    chosen: set[str] = set()
    for name in wanted:
        own = [result for result in names if result == name or fnmatchcase(result, name) or result.startswith(f"{name}.")]
        if not own:
            raise UnknownNameError("result", name, list(names))
        chosen.update([name] if name in own else own)
    return [result for result in names if result in chosen or not wanted]


def readers_of(recipe: Recipe, results: Sequence[str]) -> dict[str, str]:
    """Returns the actor whose inputs each result reads."""
    return {result: reader_of(recipe, result) for result in results}


def reader_of(recipe: Recipe, result: str) -> str:
    """Returns the actor whose inputs a result, or the teacher, reads; of an ensemble its first member."""
    evaluated = _evaluated(recipe.results or {}, result)
    if evaluated is None:
        return result if result in (TEACHER, *recipe.actor_names) else STUDENT
    names = [name for name in (STUDENT, TEACHER, *recipe.actor_names) if fnmatchcase(name, re.split("[@:#/]", evaluated)[0])]
    name = next((name for name in names if name.rpartition(".")[2] == result.rpartition(".")[2]), next(iter(names), STUDENT))
    while name in recipe.originals:
        name = recipe.originals[name]  # a copy reads what its original does
    return name


def _evaluated(evaluate: Mapping[str, Any], result: str) -> str | None:
    """Returns the reference that a result is of; None if the recipe does not say. `early` is the pattern of `early.layer1`."""
    name = next((name for name in evaluate if result == name or result.startswith(f"{name}.")), None)
    if name is None:
        return None
    found: object = evaluate[name]
    if isinstance(found, Teacher):  # of a method
        return found.references[0]
    if isinstance(found, Mapping):
        found = next(iter(found.values())).get("of", STUDENT)
    return str(found if isinstance(found, str) else found[0])  # type: ignore[index]
