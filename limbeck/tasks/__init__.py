"""What differs between kinds of problem: the control's loss, evaluation and metric."""

from limbeck.registry import Registry
from limbeck.tasks.base import Task
from limbeck.tasks.classification import Classification
from limbeck.tasks.question_answering import QuestionAnswering
from limbeck.tasks.regression import Regression

registry = Registry("task")
for kind in (Classification, QuestionAnswering, Regression):
    registry.register(kind.name)(kind)

__all__ = ["Classification", "QuestionAnswering", "Regression", "Task", "registry"]
