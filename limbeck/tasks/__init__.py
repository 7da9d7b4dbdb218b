"""What differs between kinds of problem: the control's loss, evaluation and metric."""

from limbeck.registry import Registry
from limbeck.tasks.classification import Classification

registry = Registry("task")
registry.register("classification")(Classification)

__all__ = ["Classification", "registry"]
