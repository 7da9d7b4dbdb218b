"""What the fields of a recipe have in common."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict

Precision = Literal["float32", "bfloat16", "float16"]


class Spec(BaseModel):
    """A section of a recipe. Unknown fields are errors, and so are numbers that are infinite or NaN."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


def named_part(value: Any) -> dict[str, dict[str, Any]]:
    """Returns `{name: {arguments}}` for each of the forms `name`, `{name: null}` and `{name: {arguments}}`."""
    if isinstance(value, str):
        return {value: {}}
    if isinstance(value, Mapping) and len(value) == 1:
        ((name, arguments),) = value.items()
        if arguments is None or isinstance(arguments, Mapping):
            return {name: dict(arguments or {})}
    raise ValueError("expected a name, or one name with its arguments such as {random_crop: {padding: 4}}")


NamedPart = Annotated[dict[str, dict[str, Any]], BeforeValidator(named_part)]


def check_buildable(build: Callable[[], Any]) -> None:
    """Builds a part once. Any error about its arguments becomes an error of the recipe."""
    try:
        build()
    except (TypeError, AttributeError, ArithmeticError) as error:
        raise ValueError(f"its arguments cannot be used: {error}") from error


def default_of(described: type, field: str) -> Any:
    """Returns the default of a dataclass's field, so that a recipe and the class it describes cannot differ."""
    found = next(each for each in dataclasses.fields(described) if each.name == field)
    if found.default_factory is not dataclasses.MISSING:
        return found.default_factory()
    assert found.default is not dataclasses.MISSING, f"{described.__name__}.{field} has no default"
    return found.default
