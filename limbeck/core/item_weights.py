"""Weights of the items of a batch, computed from the signals of student and teacher."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from limbeck.core.signals import AnySignal, LinearLogits
from limbeck.utils.registry import Registry


class ItemWeight(ABC):
    """A weight for each item of a batch, computed from the signals of student and teacher; always detached."""

    @abstractmethod
    def __call__(self, student: AnySignal, teacher: AnySignal | None, target: Tensor | None) -> Tensor:
        """The weights, `[batch]`."""


registry = Registry("item weight")


@registry.register("teacher_confidence")
@dataclass(frozen=True)
class TeacherConfidence(ItemWeight):
    """1 − H(p_t)/log C: items that the teacher is certain about count more (the weights of EB-KD, Kwon 2020)."""

    def __call__(self, student: AnySignal, teacher: AnySignal | None, target: Tensor | None) -> Tensor:
        if teacher is None:
            raise ValueError("teacher_confidence: the term has no teacher signal")
        return 1 - _uncertainty(teacher)


@registry.register("student_uncertainty")
@dataclass(frozen=True)
class StudentUncertainty(ItemWeight):
    """H(p_s)/log C: items that the student is uncertain about count more (dynamic distillation, Li et al., EMNLP 2021)."""

    def __call__(self, student: AnySignal, teacher: AnySignal | None, target: Tensor | None) -> Tensor:
        return _uncertainty(student)


def _uncertainty(logits: AnySignal) -> Tensor:
    """Entropy of softmax(logits) divided by its maximum log C, from 0 to 1."""
    dense = logits.dense() if isinstance(logits, LinearLogits) else logits
    if not isinstance(dense, Tensor):
        raise ValueError(f"an item weight needs one dense signal of logits; got {type(logits).__name__}")
    log_p = torch.log_softmax(dense.detach().float(), dim=-1)
    return -(log_p.exp() * log_p).sum(-1) / math.log(dense.shape[-1])
