"""Registries: recipes and the command line find objectives, models, views and all other parts by name."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import entry_points
from typing import Any, TypeVar

from limbeck.utils.finite import require_finite
from limbeck.utils.memory import OutOfMemoryError, describe_out_of_memory, is_out_of_memory
from limbeck.utils.type_hints import ArgumentTypeError, check_arguments

Part = TypeVar("Part", bound=Callable[..., Any])
NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def nearest_names(name: str, known: list[str], count: int = 3) -> list[str]:
    """Returns the names in `known` that are most similar to `name`, best first."""
    return difflib.get_close_matches(name, known, n=count, cutoff=0.0)


class UnknownNameError(KeyError, ValueError):
    """No part has this name; the message lists the nearest ones."""

    def __init__(self, what: str, name: str, known: list[str]) -> None:
        offer = ", ".join(nearest_names(name, known))
        self.message = f"unknown {what} {name!r}; nearest: {offer}" if offer else f"unknown {what} {name!r}; there is none"
        super().__init__(what, name, known)  # pickle rebuilds the error from these when a worker process raises it

    def __str__(self) -> str:
        return self.message


class Registry:
    """Parts of one kind by name, e.g. `Registry("objective")`.

    Installed packages add parts through the entry-point group of the kind's plural, such as `limbeck.objectives`. They are
    loaded when a name is not found among the registered parts, so that they do not slow down the start.

    Args:
        kind: what messages call a part.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._parts: dict[str, Callable[..., Any]] = {}
        self._citations: dict[str, str] = {}

    def register(self, name: str, *, cite: str = "") -> Callable[[Part], Part]:
        """Returns a decorator for a class or function: `@objectives.register("hint")`.

        Args:
            name: the name of the part in recipes.
            cite: the BibTeX entry of its paper; a class may have it as attribute `bibtex` instead.

        Raises:
            ValueError: another part has this name.
        """

        def add(part: Part) -> Part:
            if name in self._parts and self._parts[name] is not part:
                raise ValueError(f"{self.kind} {name!r} is registered twice: {self._parts[name]!r} and {part!r}")
            self._parts[name] = part
            self._citations[name] = cite or getattr(part, "bibtex", "")
            return part

        return add

    def citation(self, name: str) -> str:
        """Returns the BibTeX entry of a part; empty if the name is unknown or there is no paper to cite."""
        return self._citations.get(name, "")

    def __getitem__(self, name: str) -> Callable[..., Any]:
        if name not in self._parts:
            self._load_entry_points()
        if name not in self._parts:
            raise UnknownNameError(self.kind, name, self.names())
        return self._parts[name]

    def get(self, name: str, /, **hyperparameters: Any) -> Any:
        """Builds a part.

        Raises:
            UnknownNameError: no part has this name.
            ValueError: unknown hyperparameters, or of a wrong type; the message names them.
        """
        self.check_arguments(name, hyperparameters)
        part = self[name]
        needed = [each.name for each in _parameters(part) or () if each.kind in NAMED and each.default is each.empty]
        if missing := [each for each in needed if each not in hyperparameters]:
            raise ValueError(f"{self.kind} {name!r}: {missing[0]!r} is missing; give it: {{{name}: {{{missing[0]}: …}}}}")
        try:
            return part(**hyperparameters)
        except TypeError as error:
            raise ValueError(f"{self.kind} {name!r}: {error}") from error
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            given = ", ".join(f"{key}={value!r:.80}" for key, value in hyperparameters.items())
            raise OutOfMemoryError(
                f"{self.kind} {name!r} ({given}): {describe_out_of_memory(error)}; give it smaller numbers"
            ) from error

    def check_arguments(self, name: str, arguments: Mapping[str, Any]) -> None:
        """Raises for arguments that the type hints of a part do not allow, before it is built.

        Raises:
            UnknownNameError: no part has this name.
            ValueError: the first argument that the part does not have, that is not finite or of a wrong type.
        """
        parameters = _parameters(self[name])
        known = [each.name for each in parameters or () if each.kind in NAMED]
        takes_any = parameters is None or any(each.kind is each.VAR_KEYWORD for each in parameters)
        for argument in () if takes_any else arguments:
            if argument not in known:
                offer = f"nearest: {', '.join(nearest_names(argument, known))}" if known else "it takes no arguments"
                raise ValueError(f"{self.kind} {name!r}: got an unexpected keyword argument {argument!r}; {offer}")
        require_finite(f"{self.kind} {name!r}", arguments)
        try:
            check_arguments(self[name], arguments)
        except ArgumentTypeError as error:
            raise ValueError(f"{self.kind} {name!r}: {error}") from error

    def check_call(self, name: str, *given: Any, **arguments: Any) -> None:
        """Raises for a call of a function that would lack arguments or have unknown ones, before it is called.

        Raises:
            UnknownNameError: no part has this name.
            ValueError: the first argument that is missing, unknown or of a wrong type.
        """
        self.check_arguments(name, arguments)
        try:
            inspect.signature(self[name]).bind(*given, **arguments)
        except TypeError as error:
            raise ValueError(f"{self.kind} {name!r}: {error}") from error

    def part(self, value: Any, base: type[Any], example: str) -> Any:
        """Converts a name, or the recipe form `{name: {arguments}}`, to a part; a part is returned as it is.

        Args:
            base: the class of all parts of this kind.
            example: of the recipe form, for messages.

        Raises:
            UnknownNameError: no part has this name.
            ValueError: another form, unknown arguments, or a part of another class.
        """
        if isinstance(value, base):
            return value
        if isinstance(value, str):
            value = {value: {}}
        if not isinstance(value, Mapping) or len(value) != 1:
            raise ValueError(f"a {self.kind} is one name with its arguments, such as {example}; got {value!r}")
        ((name, given),) = value.items()
        if given is not None and not isinstance(given, Mapping):
            raise ValueError(f"{self.kind} {name!r}: its arguments are {given!r}; expected a mapping as in {example}")
        built = self.get(name, **(given or {}))
        if not isinstance(built, base):
            home = f"{base.__module__}.{base.__qualname__}"
            raise ValueError(f"{self.kind} {name!r} is {type(built).__name__}; expected a subclass of {home}")
        return built

    def names(self) -> list[str]:
        """Returns the names of all registered parts, sorted."""
        return sorted(self._parts)

    def __contains__(self, name: object) -> bool:
        if name not in self._parts:
            self._load_entry_points()
        return name in self._parts

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def _load_entry_points(self) -> None:
        plural = f"{self.kind[:-1]}ies" if self.kind.endswith("y") else f"{self.kind}s"
        for entry in entry_points(group=f"limbeck.{plural}"):
            if entry.name not in self._parts:
                part = entry.load()  # may register itself
                if entry.name not in self._parts:
                    self.register(entry.name)(part)


def _parameters(part: Callable[..., Any]) -> list[inspect.Parameter] | None:
    """The parameters of a part; None of one that is built in C and does not say."""
    if getattr(getattr(part, "__init__", None), "__qualname__", "") == "Module.__init__":
        return []  # torch's, which a class without its own has: its signature takes anything, but a call of it nothing
    try:
        return list(inspect.signature(part).parameters.values())
    except (TypeError, ValueError):
        return None
