"""Parts by name: the one mechanism by which recipes and the command line find objectives, models, views and the rest."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from typing import Any, TypeVar

Part = TypeVar("Part", bound=Callable[..., Any])


def nearest(name: str, known: list[str], count: int = 3) -> list[str]:
    """The names in `known` that a person most likely meant by `name`, best first."""
    return difflib.get_close_matches(name, known, n=count, cutoff=0.0)


class UnknownNameError(KeyError, ValueError):
    """A name that no part carries; the message offers the nearest ones."""

    def __init__(self, what: str, name: str, known: list[str]) -> None:
        offer = ", ".join(nearest(name, known)) or "nothing is registered"
        self.message = f"unknown {what} {name!r}; nearest: {offer}"
        super().__init__(what, name, known)  # what pickle rebuilds it from, when a worker process raises it

    def __str__(self) -> str:
        return self.message


class Registry:
    """Names to parts of one kind, e.g. `Registry("objective")`.

    Installed packages add parts through the entry-point group `limbeck.<kind>s`; they are loaded when a name is not
    found among the parts already known, so that start-up pays nothing for them.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._parts: dict[str, Callable[..., Any]] = {}
        self._citations: dict[str, str] = {}

    def register(self, name: str, *, cite: str = "") -> Callable[[Part], Part]:
        """Decorator: `@objectives.register("hint")` above a class or function.

        Args:
            name: what recipes call the part.
            cite: the BibTeX entry of its paper; a class may have it as attribute `bibtex` instead.
        """

        def add(part: Part) -> Part:
            if name in self._parts and self._parts[name] is not part:
                raise ValueError(f"{self.kind} {name!r} is registered twice: {self._parts[name]!r} and {part!r}")
            self._parts[name] = part
            self._citations[name] = cite or getattr(part, "bibtex", "")
            return part

        return add

    def citation(self, name: str) -> str:
        """The BibTeX entry of the part called `name`; empty if the name is unknown or there is no paper to cite."""
        return self._citations.get(name, "")

    def __getitem__(self, name: str) -> Callable[..., Any]:
        if name not in self._parts:
            self._load_entry_points()
        if name not in self._parts:
            raise UnknownNameError(self.kind, name, self.names())
        return self._parts[name]

    def get(self, name: str, /, **hyperparameters: Any) -> Any:
        """Build the part called `name`; unknown or ill-typed hyperparameters are a `ValueError` that names them."""
        part = self[name]
        try:
            return part(**hyperparameters)
        except TypeError as error:
            raise ValueError(f"{self.kind} {name!r}: {error}") from error

    def names(self) -> list[str]:
        return sorted(self._parts)

    def __contains__(self, name: object) -> bool:
        return name in self._parts

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def _load_entry_points(self) -> None:
        for entry in entry_points(group=f"limbeck.{self.kind}s"):
            self._parts.setdefault(entry.name, entry.load())
