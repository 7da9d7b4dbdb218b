"""`task:` what is learned, by name and perhaps with arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from limbeck import tasks
from limbeck.recipe.schema.base import named_part
from limbeck.tasks import Task


def _short(value: Any) -> Any:
    """Returns the name alone if there are no arguments, so that a recipe has one form."""
    ((name, arguments),) = named_part(value).items()
    return {name: arguments} if arguments else name


def _known(value: str | dict[str, dict[str, Any]]) -> str | dict[str, dict[str, Any]]:
    build_task(value, None)  # raises an error for an unknown name, or for arguments that the task does not take
    return value


TaskField = Annotated[
    str | dict[str, dict[str, Any]],
    BeforeValidator(_short),
    AfterValidator(_known),
    WithJsonSchema({"anyOf": [{"enum": tasks.registry.names()}, {"type": "string"}, {"type": "object"}]}),
    Field(description="by name, or with arguments such as {masked_language_modelling: {share: 0.3}}; also a task of a plugin"),
]


def task_name(value: str | Mapping[str, Any]) -> str:
    """Returns the name of the task in a recipe's field."""
    return value if isinstance(value, str) else next(iter(value))


def build_task(value: str | Mapping[str, Mapping[str, Any]], metric: str | None) -> Task:
    """Returns the task of a recipe's field.

    Raises:
        ValueError: no task has this name, the message lists the nearest; arguments or a metric that it does not take.
    """
    name = task_name(value)
    arguments = {} if isinstance(value, str) else dict(value[name])
    if "metric" in arguments:
        raise ValueError("metric stands beside task:, as a field of its own")
    task = tasks.registry.get(name, metric=metric, **arguments)
    if not isinstance(task, Task):
        raise ValueError(f"{name}: {tasks.registry[name]!r} gives {type(task).__name__}; a task is a limbeck.tasks.Task")
    return task
