"""Randomness as a pure function of (seed, key, view, stream): no state, no order, the same on any number of workers.

Every draw is a SplitMix64 output: a counter sent through a bijection of the 64-bit integers that leaves no visible
structure (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014). The item's key chooses where its
counter starts, so that an item draws the same numbers in whatever batch it stands.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import TypeAlias

import torch
from torch import Tensor

ViewNumber: TypeAlias = int | Tensor
"""The number of a view: one for all items, or int64 `[B]`, one for each."""

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_FIRST = 0xBF58476D1CE4E5B9
_SECOND = 0x94D049BB133111EB


def uniform(seed: int, keys: Tensor, view: ViewNumber, stream: str, count: int) -> Tensor:
    """`[B, count]` float32 in [0, 1), all 24 bits of its mantissa random."""
    return _shift_right(random_bits(seed, keys, view, stream, count), 40).to(torch.float32) * 2.0**-24


def integers(seed: int, keys: Tensor, view: ViewNumber, stream: str, count: int, high: int) -> Tensor:
    """`[B, count]` int64 in [0, high), for `high` up to 2³¹; the bias is at most high / 2³²."""
    if not 0 < high <= 1 << 31:
        raise ValueError(f"high={high}: expected a number from 1 to {1 << 31}")
    return _shift_right(_shift_right(random_bits(seed, keys, view, stream, count), 32) * high, 32)


def epoch_permutation(seed: int, epoch: int, n: int) -> Tensor:
    """The order of `n` rows in an epoch, int64 `[n]`: rows sorted by their hash, equal hashes by row."""
    return torch.argsort(random_bits(seed, torch.arange(n), epoch, "permutation", 1)[:, 0], stable=True)


def hashes(seed: int, keys: Tensor, stream: str) -> Tensor:
    """One int64 per key to sort items by: an order that depends on what the items are, not on where they stand."""
    return random_bits(seed, keys, 0, stream, 1)[:, 0]


def random_bits(seed: int, keys: Tensor, view: ViewNumber, stream: str, count: int) -> Tensor:
    """`[B, count]` int64 of 64 random bits each; `view`: one number for all, or one for each item."""
    start = _mix64(keys ^ (_salts(seed, view, stream) if isinstance(view, Tensor) else _salt(seed, view, stream)))
    steps = torch.arange(1, count + 1, device=keys.device) * _signed(_GOLDEN)
    return _mix64(start[:, None] + steps)


def permutations(seed: int, keys: Tensor, epoch: int, stream: str, count: int) -> Tensor:
    """`[B, count]` int64: for each item an order of `count` things of its own, drawn anew in each epoch."""
    return torch.argsort(random_bits(seed, keys, epoch, stream, count), dim=1, stable=True)


def _salts(seed: int, views: Tensor, stream: str) -> Tensor:
    """One salt an item. Items share few views, so each distinct one is hashed once."""
    distinct, place = torch.unique(views, return_inverse=True)
    table = [_salt(seed, view, stream) for view in distinct.tolist()]
    return torch.tensor(table, dtype=torch.int64, device=views.device)[place]


@lru_cache(maxsize=4096)
def _salt(seed: int, view: int, stream: str) -> int:
    # the lengths are fixed or last, so no two triples give the same bytes
    name = (seed & _MASK).to_bytes(8, "little") + (view & _MASK).to_bytes(8, "little") + stream.encode()
    return int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "little", signed=True)


def _mix64(z: Tensor) -> Tensor:
    z = (z ^ _shift_right(z, 30)) * _signed(_FIRST)
    z = (z ^ _shift_right(z, 27)) * _signed(_SECOND)
    return z ^ _shift_right(z, 31)


def _shift_right(z: Tensor, by: int) -> Tensor:
    # `>>` copies the sign bit into the gap; the mask clears it
    return (z >> by) & ((1 << (64 - by)) - 1)


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value
