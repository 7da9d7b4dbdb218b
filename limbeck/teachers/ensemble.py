"""Several teachers as one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from limbeck.signals import AnySignal
from limbeck.sources.batch import Batch
from limbeck.teachers.base import Teacher


class Ensemble(Teacher):
    """The mean of several teachers' logits.

    combine = "logits": z = Σ_k w_k z_k (FedDF, 2006.07242). combine = "probabilities": log Σ_k w_k softmax(z_k), as logits.
    The two are not the same thing; the mean of the *losses* is a term whose teacher is a pattern such as `peers.*`.

    Args:
        references: the teachers, e.g. `["first", "second"]` or `"clients.*"`.
        combine: what is averaged.
        weights: one for each teacher; equal when omitted, and always normalised to sum 1.
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

    def answer(self, signals: Sequence[Tensor], batch: Batch, student: AnySignal) -> Tensor:
        stacked = torch.stack([signal.float() if signal.dtype != torch.float64 else signal for signal in signals])
        if self.weights is None:
            shares = stacked.new_full((len(signals),), 1 / len(signals))
        elif len(self.weights) == len(signals):
            shares = stacked.new_tensor(self.weights) / sum(self.weights)
        else:
            raise ValueError(f"Ensemble: {len(self.weights)} weights for {len(signals)} teachers")
        shares = shares.view(-1, *[1] * (stacked.ndim - 1))
        if self.combine == "logits":
            return (shares * stacked).sum(0)
        return torch.logsumexp(torch.log_softmax(stacked, -1) + shares.log(), dim=0)
