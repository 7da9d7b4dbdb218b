"""Learned weights of teachers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from limbeck.core.batch import Batch
from limbeck.core.signals import AnySignal, tensors_of
from limbeck.core.weighers.base import Shape, Weigher, registry


@registry.register("routing")
class Routing(Weigher):
    """w = softmax_k(W f + b): learned weights of K teachers for each item, `[K, batch]`; f: a signal, averaged over positions.

    W and b start at zero, so all teachers have weight 1/K at first. They are trained with the student, by the gradient of the
    term's loss.

    Args:
        of: the signal that decides: `student` (the student's side of the term) or any reference, such as `student:layer3`.
    """

    def __init__(self, of: str = "student") -> None:
        super().__init__()
        self.of = of
        self.references = () if of == "student" else (of,)
        self.gate: nn.Linear | None = None

    def build(self, signals: Sequence[Shape], student: Shape, *, samples: int | None) -> None:
        shape = signals[-1] if self.references else student
        teachers = len(signals) - len(self.references)
        if teachers < 1 or not all(isinstance(size, int) for size in shape):
            raise ValueError(f"routing: {teachers} teachers by a signal of shape {shape}; expected teachers and one signal")
        self.gate = nn.Linear(int(shape[1 if len(shape) == 4 else -1]), teachers)  # type: ignore[arg-type]
        nn.init.zeros_(self.gate.weight)
        nn.init.zeros_(self.gate.bias)

    def weigh(self, signals: Sequence[AnySignal], batch: Batch, student: AnySignal, progress: float) -> Tensor:
        assert self.gate is not None
        feature = tensors_of(signals[-1] if self.references else student)[0]
        if feature.ndim == 4:  # a map [batch, channels, height, width]
            feature = feature.mean((2, 3))
        elif feature.ndim == 3:  # tokens [batch, tokens, features]
            feature = feature.mean(1)
        return torch.softmax(self.gate(feature.to(self.gate.weight.dtype)), -1).T
