"""A teacher made by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from limbeck.core.batch import Batch, label_mask
from limbeck.core.signals import AnySignal
from limbeck.core.teachers.base import Teacher


class VirtualTeacher(Teacher):
    """A constant target that is right with probability `correct` and spreads the rest evenly over the other classes, as logits
    (Tf-KD, 1909.11723).

    An item without a label answers with the student's present logits, detached: there is nothing to be right about.

    Args:
        correct: probability of the label, between 1/classes and 1.
    """

    def __init__(self, correct: float = 0.99) -> None:
        super().__init__()
        if not 0 < correct < 1:
            raise ValueError(f"VirtualTeacher: correct is {correct}; expected a probability between 0 and 1")
        self.correct = correct

    def build(self, student: tuple[int, ...], *, samples: int | None) -> None:
        if self.correct * student[-1] <= 1:
            raise ValueError(f"VirtualTeacher: correct is {self.correct}; expected more than one in {student[-1]}")

    def make_target(self, signals: Sequence[AnySignal], batch: Batch, student: AnySignal) -> Tensor:
        assert isinstance(student, Tensor)
        if batch.target is None:
            raise ValueError("VirtualTeacher: needs labels and the batch has none")
        said = student.detach().to(torch.promote_types(student.dtype, torch.float32))
        labels = batch.target.argmax(-1) if batch.target.is_floating_point() else batch.target.clamp(min=0)
        wrong = torch.full_like(said, math.log((1 - self.correct) / (said.shape[-1] - 1)))
        answer = wrong.scatter(-1, labels[..., None], math.log(self.correct))
        return torch.where(label_mask(batch.target)[..., None] > 0, answer, said)
