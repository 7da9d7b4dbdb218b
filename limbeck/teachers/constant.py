"""A teacher made by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from limbeck.signals import AnySignal
from limbeck.sources.batch import Batch
from limbeck.teachers.base import Teacher


class VirtualTeacher(Teacher):
    """A constant target that is right with probability `correct` and spreads the rest evenly over the other classes, as logits
    (Tf-KD, 1909.11723).

    Args:
        correct: probability of the label, between 1/classes and 1.
    """

    def __init__(self, correct: float = 0.99) -> None:
        super().__init__()
        if not 0 < correct < 1:
            raise ValueError(f"VirtualTeacher: correct is {correct}; expected a probability between 0 and 1")
        self.correct = correct

    def answer(self, signals: Sequence[Tensor], batch: Batch, student: AnySignal) -> Tensor:
        assert isinstance(student, Tensor)
        if batch.target is None:
            raise ValueError("VirtualTeacher: needs labels and the batch has none")
        classes = student.shape[-1]
        labels = batch.target if batch.target.ndim == 1 else batch.target.argmax(-1)
        target = torch.full_like(student.detach(), math.log((1 - self.correct) / (classes - 1)), dtype=torch.float32)
        return target.scatter(1, labels.clamp(min=0)[:, None], math.log(self.correct))
