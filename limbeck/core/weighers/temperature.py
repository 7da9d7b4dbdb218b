"""Temperatures for each item."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from limbeck.core.batch import Batch
from limbeck.core.signals import AnySignal
from limbeck.core.weighers.base import Shape, Weigher, dense_logits, registry
from limbeck.core.weighers.entropy import Entropy


@registry.register("by_confidence")
class ByConfidence(Weigher):
    """T = low + (high − low)·(1 − H/log C): outputs that are certain are softened more; for the `temperature` of a term.

    Args:
        low: T of an item with uniform probabilities.
        high: T of an item with all probability on one class. Below `low`, certain outputs are softened less.
        of: whose confidence: `teacher`, `student` or any reference; see `Entropy`.

    Raises:
        ValueError: a temperature that is not above 0, or a signal that is no dense logits.
    """

    reads_classes = True

    def __init__(self, *, low: float = 1.0, high: float = 4.0, of: str = "teacher") -> None:
        super().__init__()
        for field, value in (("low", low), ("high", high)):
            if not 0 < value < math.inf:
                raise ValueError(f"by_confidence: {field} is {value}; use a value above 0, such as 1")
        self.low, self.high, self.confidence = low, high, Entropy(of)
        self.references = self.confidence.references

    def weigh(self, signals: Sequence[AnySignal], batch: Batch, student: AnySignal, progress: float) -> Tensor:
        return self.low + (self.high - self.low) * self.confidence.weigh(signals, batch, student, progress)


@registry.register(
    "adversarial_temperature",
    cite="""
        @inproceedings{li2023curriculum,
            title = {Curriculum Temperature for Knowledge Distillation},
            author = {Li, Zheng and Li, Xiang and Yang, Lingfeng and Zhao, Borui and Song, Renjie and Luo, Lei and Li, Jun and
                Yang, Jian},
            booktitle = {Proceedings of the AAAI Conference on Artificial Intelligence},
            year = {2023},
            eprint = {2211.16231},
            archiveprefix = {arXiv},
        }
    """,
)
class AdversarialTemperature(Weigher):
    """A temperature that is trained to make the loss larger, from easy to hard: T = low + span·σ(θ) (CTKD, arXiv 2211.16231).

    The gradient of T is multiplied by −λ, where λ = (1 − cos(π·min(p/until, 1)))/2 grows from 0 to 1 with progress p. θ is one
    number, or, with `items`, what a network of two layers makes of the logits of student and teacher for each item.

    Args:
        low, span: T is between low and low + span; 1 and 20 in the paper.
        until: progress at which λ reaches 1 (10 of 240 epochs in the paper).
        items: whether each item has a temperature of its own.
        hidden: units of the network.

    Raises:
        ValueError: an argument out of range; a term without exactly one teacher signal of dense logits, if `items`.
    """

    def __init__(
        self, *, low: float = 1.0, span: float = 20.0, until: float = 0.05, items: bool = False, hidden: int = 32
    ) -> None:
        super().__init__()
        for field, value in (("low", low), ("span", span), ("until", until), ("hidden", hidden)):
            if not 0 < value < math.inf:
                raise ValueError(f"adversarial_temperature: {field} is {value}; use a value above 0")
        if until > 1:
            raise ValueError(f"adversarial_temperature: until is {until:g}; expected a share of the stage, at most 1")
        self.low, self.span, self.until, self.items, self.hidden = low, span, until, items, hidden
        self.theta: nn.Parameter | None = None
        self.network: nn.Sequential | None = None

    def build(self, signals: Sequence[Shape], student: Shape, *, samples: int | None) -> None:
        if not self.items:
            self.theta = nn.Parameter(torch.zeros(1))
            return
        if len(signals) != 1:
            raise ValueError(f"adversarial_temperature: items reads one teacher, and the term has {len(signals)}")
        width = int(student[-1]) + int(signals[0][-1])  # type: ignore[arg-type]
        self.network = nn.Sequential(nn.Linear(width, self.hidden), nn.ReLU(), nn.Linear(self.hidden, 1))
        nn.init.zeros_(self.network[2].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.network[2].bias)  # type: ignore[arg-type]

    def weigh(self, signals: Sequence[AnySignal], batch: Batch, student: AnySignal, progress: float) -> Tensor:
        logits = dense_logits(student)
        if self.network is not None:
            both = torch.cat([logits, dense_logits(signals[0])], -1)
            theta: Tensor = self.network(both).squeeze(-1)
        else:
            assert self.theta is not None
            theta = self.theta.expand(logits.shape[:-1])
        strength = (1 - math.cos(math.pi * min(progress / self.until, 1.0))) / 2
        temperature = self.low + self.span * torch.sigmoid(theta)
        # the same value, and −strength times the gradient
        return temperature.detach() - strength * (temperature - temperature.detach())
