"""Descriptions of methods: name, paradigm, arguments and source."""

from __future__ import annotations

import inspect
import re
from typing import Any

from limbeck.methods.registration import paradigm, parameters, registry


def describe_method(name: str) -> dict[str, Any]:
    """The fields that `limbeck methods` shows of a method.

    Raises:
        UnknownNameError: no method has this name.
    """
    function = registry[name]
    text = inspect.getdoc(function) or ""
    known = inspect.signature(function).parameters
    return {
        "name": name,
        "paradigm": paradigm(name),
        "summary": text.split("\n\n")[0].replace("\n", " "),
        "source": _source(registry.citation(name), text),
        "arguments": {each: _default(known[each].default) for each in parameters(name)},
    }


def by_paradigm() -> list[dict[str, Any]]:
    """Returns the descriptions of all methods, those of a paradigm together."""
    return sorted((describe_method(name) for name in registry), key=lambda row: (row["paradigm"], row["name"]))


def _source(entry: str, text: str) -> str:
    """Authors' short form and year of a BibTeX entry with its arXiv number, such as `Zhang 2018, 1706.00384`."""
    fields = dict(re.findall(r"(\w+) = \{(.*?)\}", entry, flags=re.S))
    author = fields.get("author", "").split(",")[0].strip()
    number = fields.get("eprint") or next(iter(re.findall(r"\d{4}\.\d{4,5}", text)), "")
    named = " ".join(part for part in (author, fields.get("year", "")) if part)
    return ", ".join(part for part in (named, number) if part)


def _default(value: Any) -> Any:
    """A default as JSON can hold it; an argument that has none is required."""
    if value is inspect.Parameter.empty:
        return "required"
    return value if isinstance(value, bool | int | float | str | None) else str(value)
