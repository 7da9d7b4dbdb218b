"""The registry of methods, and what all of them return."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypedDict, TypeVar, cast

from limbeck.core.terms import Term
from limbeck.engine import Stage
from limbeck.evaluation.citations import method_registries
from limbeck.models.from_teacher import ModelOrBuilder
from limbeck.utils.finite import require_finite
from limbeck.utils.registry import Registry, nearest_names

Method = TypeVar("Method", bound=Callable[..., Any])


class Methods(Registry):
    """Methods by name. They refuse numbers that are infinite or NaN, in a recipe and in Python."""

    def register(self, name: str, *, cite: str = "") -> Callable[[Method], Method]:
        def add(method: Method) -> Method:
            @functools.wraps(method)
            def checked(*given: Any, **arguments: Any) -> Any:
                require_finite(name, arguments)
                return method(*given, **arguments)

            return register(cast(Method, checked))

        register = super().register(name, cite=cite)
        return add


registry = Methods("method")
method_registries.append(registry)
LENGTH = "length"
# Arguments that a recipe fills in, of the functions that have them, and from which of its fields.
GIVEN = {"teacher": "teacher", "items": "data.train", "task": "task", LENGTH: "training"}
PLUGINS = "plugins"  # the paradigm of methods outside this package


class DistillationArguments(TypedDict, total=False):
    """What a method decides of a run: arguments of `Distillation`, `Distillation(student, teacher, **method(…))`."""

    student: ModelOrBuilder
    terms: Sequence[Term]
    stages: Sequence[Stage]
    actors: Mapping[str, Any]
    evaluate: Mapping[str, Any]
    controls: Mapping[str, Mapping[str, Any]]


def parameters(name: str) -> list[str]:
    """Returns the arguments of a method that a user gives.

    Raises:
        UnknownNameError: no method has this name.
    """
    return [each for each in inspect.signature(registry[name]).parameters if not _is_given(name, each)]


def _is_given(name: str, argument: str) -> bool:
    """Whether a recipe fills in an argument; a `length` with a default is the method's own, and not the training's."""
    parameter = inspect.signature(registry[name]).parameters[argument]
    return argument in GIVEN and (argument != LENGTH or parameter.default is parameter.empty)


def check_arguments(name: str, arguments: Mapping[str, Any]) -> None:
    """Raises `ValueError` for an argument that a method does not have, or of another type than its hint says."""
    known = parameters(name)
    for argument in arguments:
        if argument not in known and argument in GIVEN:
            raise ValueError(f"method: {name} gets {argument!r} from {GIVEN[argument]}: of the recipe; say it there")
        if argument not in known:
            offer = ", ".join(nearest_names(argument, known)) or "none; it takes no arguments"
            raise ValueError(f"method: {name} has no {argument!r}; nearest: {offer}")
    registry.check_arguments(name, arguments)


def needs(name: str, argument: str) -> bool:
    """Whether a method takes one of the arguments that a recipe fills in."""
    return argument in inspect.signature(registry[name]).parameters and _is_given(name, argument)


def reads_models_or_data(name: str) -> bool:
    """Whether a method reads the teacher or the training data, so that it cannot be called before they are loaded."""
    return needs(name, "teacher") or needs(name, "items")


def paradigm(name: str) -> str:
    """Returns the room of `limbeck.methods` that a method stands in, such as `online`; `plugins` for others."""
    package, _, rest = inspect.unwrap(registry[name]).__module__.partition("limbeck.methods.")
    return rest.partition(".")[0] if not package and "." in rest else PLUGINS


def call(name: str, arguments: Mapping[str, Any], **given: Any) -> DistillationArguments:
    """Calls a method by its name.

    Args:
        arguments: of the user.
        given: what a recipe fills in; the function gets those that it takes.

    Raises:
        ValueError: unknown arguments, or values that the method refuses; the message names the method.
    """
    check_arguments(name, arguments)
    filled = {each: value for each, value in given.items() if needs(name, each)}
    _check_filled(name, filled)
    made = _as_arguments(name, registry.get(name, **arguments, **filled))
    return _with_remedies(made, functools.partial(_with_remedy, name, _taps_of(name, arguments)))


def _taps_of(name: str, arguments: Mapping[str, Any]) -> dict[str, list[str]]:
    """The texts that a user's argument, or its default, consists of, by argument: among them the taps that terms read."""
    known = inspect.signature(registry[name]).parameters
    defaults = {each: known[each].default for each in parameters(name)}
    return {each: list(_texts_in(value)) for each, value in {**defaults, **arguments}.items()}


def _texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from _texts_in([*value.keys(), *value.values()])
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _texts_in(part)


def _with_remedy(name: str, taps: Mapping[str, Sequence[str]], term: Term) -> Term:
    """The term, with the argument of the method that names what it reads, for the message if the models have no such tap."""
    read = list(_texts_in([term.student, term.teacher if isinstance(term.teacher, str | list | tuple) else ()]))
    found = [
        argument
        for argument, texts in taps.items()
        if any(reference == text or reference.endswith(f":{text}") for text in texts for reference in read)
    ]
    if term.remedy or not found:
        return term
    return replace(term, remedy=f"It is what {' and '.join(found)} of {name} name{'s' * (len(found) == 1)}")


def _with_remedies(made: DistillationArguments, change: Callable[[Term], Term]) -> DistillationArguments:
    """What a method decides, with its terms changed."""
    changed = made.copy()
    if "terms" in made:
        changed["terms"] = [change(term) for term in made["terms"]]
    if "stages" in made:
        changed["stages"] = [
            replace(stage, updates=[replace(one, terms=[change(term) for term in one.terms]) for one in stage.updates])
            for stage in made["stages"]
        ]
    return changed


def _check_filled(name: str, given: Mapping[str, Any]) -> None:
    """Raises `ValueError` for what a recipe fills in, if a method needs it and a call in Python has left it out."""
    known = inspect.signature(registry[name]).parameters
    missing = [each for each in GIVEN if needs(name, each) and known[each].default is inspect.Parameter.empty]
    if missing := [each for each in missing if each not in given]:
        raise ValueError(
            f"method: {name} needs {' and '.join(missing)}, which a recipe fills in; in Python pass it by name: "
            f"methods.call({name!r}, {{…}}, {', '.join(f'{each}=…' for each in missing)})"
        )


def _as_arguments(name: str, made: Any) -> DistillationArguments:
    """A list is short for the terms, a pair for a student and its stages."""
    if isinstance(made, list):
        return {"terms": made}
    if isinstance(made, tuple) and len(made) == 2:
        return {"student": made[0], "stages": made[1]}
    known = sorted(DistillationArguments.__optional_keys__)
    if not isinstance(made, Mapping):
        raise ValueError(f"method: {name} returns {type(made).__name__}; expected a mapping of {', '.join(known)}")
    for field in made:
        if field not in known:
            raise ValueError(f"method: {name} returns {field!r}; a method decides {', '.join(known)}")
    return cast(DistillationArguments, made)
