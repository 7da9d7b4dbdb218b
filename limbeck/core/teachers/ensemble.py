"""Ensembles of teachers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from limbeck.core.batch import Batch
from limbeck.core.signals import AnySignal, LinearLogits, shape_of
from limbeck.core.teachers.base import Teacher


class Ensemble(Teacher):
    """The mean of several teachers' logits.

    combine = "logits": z = Σ_k w_k z_k (FedDF, 2006.07242). combine = "probabilities": log Σ_k w_k softmax(z_k), as logits.
    For the mean of the *losses* use a term whose teacher is a pattern such as `peers.*`.

    Args:
        references: the teachers, e.g. `["first", "second"]` or `"clients.*"`.
        combine: what is averaged.
        weights: one for each teacher, normalised to sum 1; by default equal.
    """

    def __init__(
        self,
        references: str | Sequence[str],
        *,
        combine: Literal["logits", "probabilities"] = "logits",
        weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        if combine not in ("logits", "probabilities"):
            raise ValueError(f"Ensemble: combine is {combine!r}; expected 'logits' or 'probabilities'")
        self.references = (references,) if isinstance(references, str) else tuple(references)
        self.combine = combine
        self.weights = None if weights is None else tuple(weights)
        if self.weights is not None and (min(self.weights, default=0) < 0 or sum(self.weights) <= 0):
            raise ValueError(f"Ensemble: weights are {self.weights}; expected numbers of 0 or more, not all 0")

    def make_target(self, signals: Sequence[AnySignal], batch: Batch, student: AnySignal) -> Tensor:
        stacked = torch.stack(_dense(signals))
        if self.weights is not None and len(self.weights) != len(signals):
            raise ValueError(f"Ensemble: {len(self.weights)} weights for {len(signals)} teachers")
        weights = self.weights or (1.0,) * len(signals)
        shares = (stacked.new_tensor(weights) / sum(weights)).view(-1, *[1] * (stacked.ndim - 1))
        if self.combine == "logits":
            return (shares * stacked).sum(0)
        return torch.logsumexp(torch.log_softmax(stacked, -1) + shares.log(), dim=0)


def _dense(signals: Sequence[AnySignal]) -> list[Tensor]:
    """The logits in working precision; raises a ValueError with all shapes if they cannot be averaged."""
    dense = [signal.dense() if isinstance(signal, LinearLogits) else signal for signal in signals]
    tensors = [signal for signal in dense if isinstance(signal, Tensor)]
    if len(tensors) < len(dense) or len({signal.shape for signal in tensors}) > 1:
        raise ValueError(f"Ensemble: needs dense logits of one shape; got {', '.join(str(shape_of(s)) for s in signals)}")
    return [signal.to(torch.promote_types(signal.dtype, torch.float32)) for signal in tensors]
