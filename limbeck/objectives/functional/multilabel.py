"""Divergences of independent yes-or-no outcomes."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def bernoulli_kl(p_logits: Tensor, q_logits: Tensor) -> Tensor:
    """KL(Bernoulli(σ(p)) ‖ Bernoulli(σ(q))) of each entry, finite for logits of any size."""
    yes = p_logits.sigmoid() * (F.logsigmoid(p_logits) - F.logsigmoid(q_logits))
    no = (-p_logits).sigmoid() * (F.logsigmoid(-p_logits) - F.logsigmoid(-q_logits))
    return yes + no
