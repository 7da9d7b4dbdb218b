"""Values of the flags of `limbeck init`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from limbeck.cli.init.questions import InitError
from limbeck.recipe import read_yaml

OFFLINE = "offline"


@dataclass(frozen=True)
class ModelOptions:
    """What flags say of one model; `model` is None if it is not named."""

    model: str | None = None
    args: dict[str, Any] = field(default_factory=dict)
    weights: str | None = None


@dataclass
class InitOptions:
    """Values of the flags; None or empty if a flag is not given."""

    paradigm: str = OFFLINE
    train: str | None = None
    test: str | None = None
    input: str | None = None
    label: str | None = None
    reads: str | None = None
    size: int | None = None
    channels: int | None = None
    teachers: list[ModelOptions] = field(default_factory=list)
    peers: list[ModelOptions] = field(default_factory=list)
    student: ModelOptions = field(default_factory=ModelOptions)
    mirror: bool | None = None
    features: bool | None = None
    formats: list[str] | None = None
    name: str | None = None
    plugins: list[Path] = field(default_factory=list)


def model_options(
    flag: str, names: Sequence[str] | None, args: Sequence[str] | None, weights: Sequence[str] | None = None
) -> list[ModelOptions]:
    """Returns the models that a flag names, given once for each; the n-th arguments and weights are of the n-th model.

    Models without arguments or weights get an empty text, or stand last.

    Raises:
        InitError: more arguments or weights than models, or arguments of another shape.
    """
    count = max(len(names or ()), 1 if args or weights else 0)
    for other, given in ((f"{flag}-args", args), (f"{flag}-weights", weights)):
        if len(given or ()) > count:
            raise InitError(
                f"{other} is given {len(given or ())} times, and {flag} {len(names or ())} times; give it once each"
            )

    def at(given: Sequence[str] | None, number: int) -> str | None:
        return given[number] or None if given is not None and number < len(given) else None

    return [
        ModelOptions(at(names, number), parse_args(f"{flag}-args", at(args, number)), at(weights, number))
        for number in range(count)
    ]


def parse_args(flag: str, text: str | None) -> dict[str, Any]:
    """Parses `depth: 56, width: 16`, with or without braces, as arguments of a model.

    Raises:
        InitError: text of another shape.
    """
    inner = (text or "").strip().removeprefix("{").removesuffix("}")
    try:
        content = read_yaml("{" + inner + "}")
    except yaml.YAMLError:
        content = {inner: None}
    if None in content.values():
        raise InitError(f"{flag} is {text!r}; expected names and values such as '{{depth: 56, width: 16}}'")
    return dict(content)


def parse_reads(text: str) -> tuple[dict[str, str], dict[str, str]]:
    """Parses `image,audio` or `picture:image,wave:audio`: what the teacher reads, and what the student reads.

    Returns:
        the fields of the data with their modalities, and the field of `teacher` and of `student`.

    Raises:
        InitError: other than two fields, or one field twice.
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    fields = {name.strip(): (kind or name).strip() for name, _, kind in (part.partition(":") for part in parts)}
    if len(parts) != 2 or len(fields) != 2:
        raise InitError(
            f"--reads is {text!r}; expected two fields, the teacher's and the student's, such as image,audio, or with names of "
            "columns: picture:image,wave:audio"
        )
    teacher, student = fields
    return fields, {"teacher": teacher, "student": student}
