"""Divergence from a teacher of which only the largest probabilities are known."""

from __future__ import annotations

import torch
from torch import Tensor

from limbeck.core.signals import TopK

ANOTHER_TEMPERATURE = (
    "a TopK teacher has probabilities at temperature 1, and those at another temperature cannot be derived from them"
)


def check_top_k(objective: str, student: Tensor, teacher: TopK, validate: bool) -> None:
    """Raises a ValueError if the teacher does not fit the student; `validate` checks the indices too (synchronises)."""
    values, indices, tail = teacher.values, teacher.indices, teacher.tail
    lead, classes = student.shape[:-1], student.shape[-1]
    if values.shape[:-1] != lead or indices.shape != values.shape or tail.shape != lead:
        shapes = f"values {tuple(values.shape)}, indices {tuple(indices.shape)} and tail {tuple(tail.shape)}"
        raise ValueError(f"{objective}: the TopK teacher's {shapes} do not fit student {tuple(student.shape)}")
    if validate and bool(((indices < 0) | (indices >= classes)).any()):
        raise ValueError(f"{objective}: the TopK teacher's indices exceed the {classes} classes of the student")


def kl_top_k(teacher: TopK, student: Tensor) -> Tensor:
    """KL over the k classes plus one outcome for all others; nothing is renormalised."""
    log_q, log_q_tail = _log_shares(teacher, student)
    p, p_tail = teacher.values, teacher.tail.clamp_min(0)
    inside = (torch.xlogy(p, p) - p * log_q).sum(-1)
    return inside + torch.xlogy(p_tail, p_tail) - p_tail * log_q_tail


def log_outcomes(teacher: TopK, student: Tensor) -> tuple[Tensor, Tensor]:
    """Logarithms of both distributions over k + 1 outcomes: the k classes of the teacher, then all others, [..., k + 1].

    A probability of 0 becomes the smallest number above it, so that its logarithm is finite.
    """
    log_q, log_q_tail = _log_shares(teacher, student)
    p = torch.cat([teacher.values, teacher.tail[..., None]], -1)
    return p.clamp_min(torch.finfo(p.dtype).tiny).log(), torch.cat([log_q, log_q_tail[..., None]], -1)


def _log_shares(teacher: TopK, student: Tensor) -> tuple[Tensor, Tensor]:
    """The logarithms of the student's probabilities of the teacher's k classes, [..., k], and of all others together, [...]."""
    lowest = torch.finfo(student.dtype).min  # not −∞: the support may be all classes, and 0 · ∞ is not 0
    total = student.logsumexp(-1)
    log_q = student.gather(-1, teacher.indices) - total.unsqueeze(-1)
    return log_q, student.scatter(-1, teacher.indices, lowest).logsumexp(-1) - total
