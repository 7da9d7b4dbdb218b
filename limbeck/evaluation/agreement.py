"""How the predictions of two models on the same items differ."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from limbeck.evaluation.predictions import Predictions
from limbeck.evaluation.record import Record


class Contingency(Record):
    """Correct and wrong predictions of the student and of one other arm on the same items, summed over seeds.

    `both_wrong` counts equal and different wrong predictions.
    """

    both_right: int
    student_only: int
    other_only: int
    both_wrong: int

    @property
    def total(self) -> int:
        return self.both_right + self.student_only + self.other_only + self.both_wrong


def agreement(student_logits: ArrayLike | Tensor, teacher_logits: ArrayLike | Tensor) -> float:
    """The share of items for which both predict the same class.

    Logits are [..., items, classes]; a teacher of one seed is compared with every seed of the student.
    """
    return float((np.asarray(student_logits).argmax(-1) == np.asarray(teacher_logits).argmax(-1)).mean())


def teacher_agreement(student: Predictions, teacher: Predictions | None) -> float | None:
    """`agreement` of a student with its teacher; None if there is no teacher, no logits, or the classes differ in number."""
    if teacher is not None and student.own is not None and teacher.own is not None:
        return student.own.agreement(teacher.own)
    if teacher is None or teacher.classes is None or teacher.classes != student.classes:
        return None
    return float((student.choice() == teacher.choice()).mean())


def contingency(student: NDArray[np.bool_], other: NDArray[np.bool_]) -> Contingency:
    """Counts correct predictions, `[seeds, items]` each. An arm of one seed is compared with every seed of the student."""
    other = np.broadcast_to(other, student.shape)
    return Contingency(
        both_right=int((student & other).sum()),
        student_only=int((student & ~other).sum()),
        other_only=int((~student & other).sum()),
        both_wrong=int((~student & ~other).sum()),
    )
