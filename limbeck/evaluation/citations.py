"""The papers behind a recipe, as BibTeX; each entry is registered with the part that it cites."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

from pydantic import BaseModel

from limbeck import models, objectives
from limbeck.core import balance, schedules, source, teachers, weighers
from limbeck.core.actors import AVERAGE_BIBTEX
from limbeck.core.objective import Objective
from limbeck.data import partition
from limbeck.data.fields.views import transforms_in
from limbeck.data.image import transforms
from limbeck.engine import optimizers
from limbeck.utils.registry import Registry

method_registries: list[Registry] = []  # that of `limbeck.methods`, a room above this one, which adds itself


def bibtex(recipe: BaseModel | Mapping[str, Any]) -> str:
    """The papers behind what a recipe uses: methods, objectives and their options, teachers, weighers, sources, models, views,
    optimizers, averages.

    Args:
        recipe: a recipe or a comparison, validated or as the fields in a run's `recipe.yaml`.

    Returns:
        BibTeX, each paper once, sorted by key; empty if there is nothing to cite.
    """
    fields = recipe.model_dump(mode="json") if isinstance(recipe, BaseModel) else recipe
    return _joined(_of_parts(fields))


def bibtex_of(name: str) -> str:
    """The paper of one objective, model, view, optimizer or schedule by its name; empty if there is none to cite.

    Raises:
        UnknownNameError: nothing that cites a paper has this name; the message offers the nearest objectives.
    """
    found = [entry for known, entry in _of_other_parts() if known == name and entry]
    return _joined(found if found and name not in objectives.registry else [_objective(name).bibtex])


def merge(texts: Iterable[str]) -> str:
    """Several results of `bibtex` and `bibtex_of` as one: each paper once, sorted by key."""
    return _joined(entry for text in texts for entry in text.split("\n\n"))


def entries() -> list[str]:
    """Every entry there is, in no particular order; objectives of one paper have the same entry."""
    found = [objectives.registry.citation(name) for name in objectives.registry]
    return [entry for entry in (*found, *(entry for _, entry in _of_other_parts())) if entry]


def _of_other_parts() -> Iterator[tuple[str, str]]:
    """Name and entry of everything that is no objective."""
    for registry in (
        models.registry,
        transforms,
        optimizers.registry,
        schedules.registry,
        teachers.registry,
        weighers.registry,
        balance.registry,
        source.registry,
        partition.registry,
        *method_registries,
    ):
        yield from ((name, registry.citation(name)) for name in registry)
    yield "ema", AVERAGE_BIBTEX
    for name in objectives.registry:
        yield from ((f"{name}.{option}", entry) for option, entry in _objective(name).option_bibtex.items())


def _of_parts(fields: Mapping[str, Any]) -> Iterator[str]:
    """The papers of a whole recipe, wherever in it a part stands."""
    for part in _mappings(fields):
        if "objective" in part:
            yield from _of_term(part)
        yield models.registry.citation(str(part.get("model") or ""))
        yield from _of_named(balance.registry, part.get("balance"))
        if "optimizer" in part:
            yield from _of_training(part)
        yield AVERAGE_BIBTEX if part.get("average") or part.get("ema") else ""
    for teacher in (fields.get("evaluate") or {}).values():
        yield from _of_named(teachers.registry, teacher)
    for described in (fields.get("sources") or {}).values():
        yield from _of_named(source.registry, described)
    federated = fields.get("federated") or {}
    for registry in method_registries:
        yield from _of_named(registry, fields.get("method") or federated.get("method"))
    yield from _of_named(partition.registry, federated.get("partition"))


def _mappings(value: Any) -> Iterator[Mapping[str, Any]]:
    """Every mapping in a recipe, the outer ones first."""
    if isinstance(value, Mapping):
        yield value
    for inner in value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ():
        yield from _mappings(inner)


def _of_term(term: Mapping[str, Any]) -> Iterator[str]:
    objective, options = _objective(term["objective"]), term.get("hyperparameters", {})
    yield objective.bibtex
    yield from (objective.option_bibtex.get(option, "") for option, value in options.items() if value)
    yield from _of_named(teachers.registry, term.get("teacher"))
    yield from _of_named(weighers.registry, term.get("item_weight"))
    yield from _of_named(weighers.registry, options.get("temperature"))


def _of_named(registry: Registry, value: Any) -> Iterator[str]:
    """The papers of a part in its recipe form, and of the weigher of an ensemble."""
    named = value if isinstance(value, Mapping) else {value: None} if isinstance(value, str) else {}
    for name, arguments in named.items():
        yield registry.citation(name)
        if isinstance(arguments, Mapping):
            yield from _of_named(weighers.registry, arguments.get("by"))


def _of_training(training: Mapping[str, Any]) -> Iterator[str]:
    """The papers of the settings of a training, or of a stage."""
    yield from (transforms.citation(name) for name in transforms_in(training.get("views") or ()))
    optimizer = training.get("optimizer") or {}
    yield optimizers.registry.citation(str(optimizer.get("name", "")).lower())
    yield schedules.registry.citation("cosine") if "cosine" in str(optimizer.get("schedule", "")) else ""


def _objective(name: str) -> type[Objective]:
    return cast(type[Objective], objectives.registry[name])


def _joined(entries: Iterable[str]) -> str:
    by_key = {_key(entry): inspect.cleandoc(entry) for entry in entries if entry}
    return "\n\n".join(by_key[key] for key in sorted(by_key))


def _key(entry: str) -> str:
    found = re.search(r"@\w+\{([^,\s]+),", entry)
    if found is None:
        raise ValueError(f"not a BibTeX entry: {entry.strip()[:60]!r}; expected @kind{{key, …}}")
    return found[1]
