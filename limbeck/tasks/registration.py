"""The list of all tasks, by name."""

from __future__ import annotations

from limbeck.tasks.base import Task
from limbeck.utils.registry import Registry

registry = Registry("task")


def task_type(name: str) -> type[Task]:
    """The class of a task, for what reports say about it; `Task` itself if the name is not registered in this process."""
    if name not in registry:
        return Task
    found = registry[name]
    return found if isinstance(found, type) and issubclass(found, Task) else Task
