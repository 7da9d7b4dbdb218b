"""Seeds of the generators that models draw from."""

from __future__ import annotations

import torch


def seed_dropout(seed: int, device: torch.device) -> None:
    """Seeds the default generators, from which dropout draws.

    `torch.manual_seed` would do the same, but it records a stack trace at every call for devices that were never used, which
    costs more than a small training step.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
