"""Seeds: one from several numbers, and the generators that models draw from."""

from __future__ import annotations

import hashlib

import torch


def mix_seeds(*numbers: int) -> int:
    """Returns one 63-bit seed that depends on each of the numbers and on their order."""
    text = "/".join(map(str, numbers)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little") >> 1


def seed_dropout(seed: int, device: torch.device) -> None:
    """Seeds the default generators, from which dropout draws.

    `torch.manual_seed` would do the same, but it records a stack trace at every call for devices that were never used, which
    costs more than a small training step.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
