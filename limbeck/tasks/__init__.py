"""What differs between kinds of problem: the control's loss, evaluation and metric."""

from limbeck.registry import Registry
from limbeck.tasks.base import Task
from limbeck.tasks.classification import Classification
from limbeck.tasks.regression import Regression

registry = Registry("task")
for kind in (Classification, Regression):
    registry.register(kind.name)(kind)

__all__ = ["Classification", "Regression", "Task", "registry"]
