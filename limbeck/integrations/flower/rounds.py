"""What server and clients compute alike from seed and round, so that it need not travel."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from limbeck.methods.federated import FederatedMethod
from limbeck.utils.seeds import mix_seeds


def public_rows(method: FederatedMethod, count: int, seed: int, number: int) -> Tensor:
    """The public items of a round, as row numbers in ascending order; all, if the method names no number of items."""
    wanted = getattr(method, "items", None)
    if wanted is None or wanted >= count:
        return torch.arange(count)
    drawn = np.random.default_rng(mix_seeds(seed, "public", number)).choice(count, wanted, replace=False)
    return torch.from_numpy(np.sort(drawn))


def taking_part(nodes: list[int], fraction: float, seed: int, number: int) -> list[int]:
    """The nodes of a round, in ascending order: a share of them, at least one, drawn anew for each round."""
    size = max(1, round(fraction * len(nodes)))
    drawn = np.random.default_rng(mix_seeds(seed, "nodes", number)).choice(len(nodes), size, replace=False)
    ordered = sorted(nodes)
    return [ordered[at] for at in np.sort(drawn)]
