"""The base of tasks whose models give one vector for each item."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from limbeck.core.terms import Term
from limbeck.data import Items
from limbeck.objectives import EmbeddingCosine
from limbeck.tasks.base import Task
from limbeck.tasks.linear_targets import LinearTargets
from limbeck.tasks.teacher_embeddings import TeacherEmbeddings


class EmbeddingTask(Task):
    """Students learn the teacher's embeddings by their cosine; a control learns labels through a linear layer that is dropped.

    Attributes:
        classes: how many classes the training data has; None if that is unknown, or it has no labels.
        of_teacher: the teacher, and its embeddings of what is evaluated.
    """

    needs_labels = False
    one_class = False
    output_name = "embedding"

    def __init__(self, metric: str | None = None) -> None:
        super().__init__(metric)
        self.classes: int | None = None
        self.of_teacher = TeacherEmbeddings()

    def add_evaluation(self, items: Items) -> None:
        self.of_teacher.add(items)

    def hard_terms(self, student: str = "student") -> list[Term]:
        if self.classes is None:
            raise ValueError("embeddings learn from labels through a linear layer, and the number of classes is unknown")
        return [Term(LinearTargets(classes=self.classes), student=student)]

    def soft_terms(self, temperature: float, student: str = "student") -> list[Term]:
        return [Term(EmbeddingCosine(), student=student)]  # a cosine has no temperature

    def outputs(self, model: nn.Module, items: Items, **options: Any) -> Tensor:
        """The embeddings of all items, `[items, D]`. Those of the teacher are computed once for the same items."""
        if model is not self.of_teacher.teacher:
            return super().outputs(model, items, **options)
        options.pop("among_processes", None)  # a process that has them already would not take part
        return self.of_teacher.once(items, lambda read: super(EmbeddingTask, self).outputs(model, read, **options))


def require_labels_of_control(train: Items) -> None:
    """Raises `ValueError` if the training data has no labels, from which a control would learn."""
    if train.classes is None:
        raise ValueError(
            "control: a control learns from labels, and there are none; set control: false, or name the column that holds "
            "labels (label: …)"
        )
