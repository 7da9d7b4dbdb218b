"""Weights from the entropy of a model's output."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from limbeck.core.batch import Batch
from limbeck.core.signals import AnySignal
from limbeck.core.weighers.base import Weigher, class_logits, registry

Preference = Literal["certain", "uncertain"]

LI_2021 = """
    @inproceedings{li2021dynamic,
        title = {Dynamic Knowledge Distillation for Pre-trained Language Models},
        author = {Li, Lei and Lin, Yankai and Ren, Shuhuai and Li, Peng and Zhou, Jie and Sun, Xu},
        booktitle = {Proceedings of EMNLP},
        year = {2021},
        eprint = {2109.11295},
        archiveprefix = {arXiv},
    }
"""


@registry.register("entropy")
class Entropy(Weigher):
    """The entropy of softmax(z/T), divided by its maximum log C: w = 1 − H/log C, or w = H/log C; from 0 to 1.

    Args:
        of: whose logits: `teacher` (the term's teacher side, or each member of an ensemble), `student` (the term's student
            side), or any reference, such as `peers.a` or `assistant:logits`.
        prefer: `certain`: items with little entropy count more, w = 1 − H/log C. `uncertain`: w = H/log C.
        temperature: T.

    Raises:
        ValueError: the term has no teacher, or a signal is no dense logits.
    """

    reads_classes = True

    def __init__(self, of: str = "teacher", *, prefer: Preference = "certain", temperature: float = 1.0) -> None:
        super().__init__()
        if prefer not in ("certain", "uncertain"):
            raise ValueError(f"{self.label}: prefer is {prefer!r}; expected 'certain' or 'uncertain'")
        if not 0 < temperature < math.inf:
            raise ValueError(f"{self.label}: temperature is {temperature}; use a value above 0, such as 1")
        self.of, self.prefer, self.temperature = of, prefer, temperature
        self.references = () if of in ("teacher", "student") else (of,)

    @property
    def label(self) -> str:
        """How messages call it."""
        return "entropy"

    def weigh(self, signals: Sequence[AnySignal], batch: Batch, student: AnySignal, progress: float) -> Tensor:
        rows = torch.stack([self._weight(signal) for signal in self._chosen(signals, student)])
        return rows[0] if len(rows) == 1 else rows

    def _chosen(self, signals: Sequence[AnySignal], student: AnySignal) -> Sequence[AnySignal]:
        if self.of == "student":
            return [student]
        if self.references:
            return signals[-1:]
        if not signals:
            raise ValueError(f"{self.label}: the term has no teacher signal; name another one, of: student for one")
        return signals

    def _weight(self, signal: AnySignal) -> Tensor:
        entropy = relative_entropy(signal, self.temperature)
        return entropy if self.prefer == "uncertain" else 1 - entropy


@registry.register(
    "teacher_confidence",
    cite="""
        @inproceedings{kwon2020adaptive,
            title = {Adaptive Knowledge Distillation Based on Entropy},
            author = {Kwon, Kisoo and Na, Hwidong and Lee, Hoshik and Kim, Nam Soo},
            booktitle = {International Conference on Acoustics, Speech and Signal Processing},
            year = {2020},
        }
    """,
)
class TeacherConfidence(Entropy):
    """1 − H(p_t)/log C: items that the teacher is certain about count more (after EB-KD, Kwon et al., ICASSP 2020)."""

    def __init__(self) -> None:
        super().__init__("teacher", prefer="certain")

    @property
    def label(self) -> str:
        return "teacher_confidence"


@registry.register("student_uncertainty", cite=LI_2021)
class StudentUncertainty(Entropy):
    """H(p_s)/log C: items that the student is uncertain about count more (dynamic distillation, Li et al., EMNLP 2021)."""

    def __init__(self) -> None:
        super().__init__("student", prefer="uncertain")

    @property
    def label(self) -> str:
        return "student_uncertainty"


def relative_entropy(signal: AnySignal, temperature: float = 1.0) -> Tensor:
    """Entropy of softmax(logits/T) divided by its maximum log C, from 0 to 1."""
    dense = class_logits(signal)
    log_p = torch.log_softmax(dense if temperature == 1 else dense / temperature, dim=-1)
    return -(log_p.exp() * log_p).sum(-1) / math.log(dense.shape[-1])
