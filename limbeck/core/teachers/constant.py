"""A constant target."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from limbeck.core.batch import Batch
from limbeck.core.labels import label_mask, single_target
from limbeck.core.signals import AnySignal
from limbeck.core.teachers.base import Teacher, registry

YUAN_2020 = """
    @inproceedings{yuan2020revisiting,
        title = {Revisiting Knowledge Distillation via Label Smoothing Regularization},
        author = {Yuan, Li and Tay, Francis E. H. and Li, Guilin and Wang, Tao and Feng, Jiashi},
        booktitle = {Conference on Computer Vision and Pattern Recognition},
        year = {2020},
        eprint = {1909.11723},
        archiveprefix = {arXiv},
    }
"""


@registry.register("virtual_teacher", cite=YUAN_2020)
class VirtualTeacher(Teacher):
    """Logits with probability `correct` for the label and equal probabilities for all other classes (Tf-KD, 1909.11723).

    The target of an item without a label is the student's own logits, detached.

    Args:
        correct: probability of the label, between 1/classes and 1.
    """

    reads_classes = True

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
        target = single_target(batch.target, "VirtualTeacher")
        logits = student.detach().to(torch.promote_types(student.dtype, torch.float32))
        labels = target.argmax(-1) if target.is_floating_point() else target.clamp(min=0)
        wrong = torch.full_like(logits, math.log((1 - self.correct) / (logits.shape[-1] - 1)))
        smoothed = wrong.scatter(-1, labels[..., None], math.log(self.correct))
        return torch.where(label_mask(target)[..., None] > 0, smoothed, logits)
