"""Cross entropy of embeddings through a linear layer: how a control of embeddings learns from labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor, nn

from limbeck.objectives import HardTargets


class LinearTargets(HardTargets):
    """Cross entropy of a learned linear layer on embeddings with the labels. Student [B, D] with labels [B].

    The layer belongs to the objective: it is built from the shapes of the dry run, trained with the student and not part of it.
    An item labelled -100 gives exactly 0.

    Args:
        classes: C, the number of classes.
        label_smoothing: probability mass spread evenly over all classes.

    Raises:
        ValueError: classes below 2; labels missing, out of range or of another shape.

    Source: the definition.
    """

    name = "linear_targets"
    formula = "−log softmax(W s + b)_y"
    ndims: ClassVar[tuple[int, ...]] = (2,)
    linear: nn.Linear | None

    def __init__(self, *, classes: int, label_smoothing: float = 0.0) -> None:
        super().__init__(label_smoothing=label_smoothing)
        if classes < 2:
            raise ValueError(f"{self.name}: classes is {classes}; a classifier needs 2 or more")
        self.classes = classes
        self.linear = None

    @property
    def built(self) -> bool:
        return self.linear is not None

    def build(self, student: Any, teacher: Any, *, samples: int | None = None) -> None:
        self.linear = nn.Linear(student[1], self.classes)

    def restore(self, state: Mapping[str, Tensor]) -> None:
        classes, dimensions = state["linear.weight"].shape
        self.linear = nn.Linear(dimensions, classes)

    def compare(self, student: Tensor, teacher: Any, *, target: Tensor, mask: Any, index: Any) -> Tensor:
        assert self.linear is not None
        return super().compare(self.linear(student), None, target=target, mask=mask, index=index)

    def _check_target(self, student: Any, target: Tensor) -> None:
        super()._check_target(student.new_empty(len(student), self.classes), target)
