"""Counter-based random numbers: pure functions of (seed, key, view, stream).

There is no generator state, so an item draws the same numbers in every batch, process and worker. Each number is one output
of SplitMix64: a counter passed through a bijection of the 64-bit integers (Steele, Lea and Flood 2014, Fast splittable
pseudorandom number generators). The key of the item, mixed with a salt made of (seed, view, stream), is the start of the
counter.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import torch
from torch import Tensor

ViewNumber: TypeAlias = int | Tensor
"""Number of a view: one for all items, or int64 `[B]`, one for each."""

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_FIRST = 0xBF58476D1CE4E5B9
_SECOND = 0x94D049BB133111EB


@dataclass(frozen=True)
class KeyedGenerator:
    """Random numbers of one stream in one view: a row for each key."""

    seed: int
    keys: Tensor
    view: ViewNumber
    stream: str

    def uniform(self, count: int) -> Tensor:
        """See `uniform`."""
        return uniform(self.seed, self.keys, self.view, self.stream, count)

    def integers(self, count: int, high: int) -> Tensor:
        """See `integers`."""
        return integers(self.seed, self.keys, self.view, self.stream, count, high)


def uniform(seed: int, keys: Tensor, view: ViewNumber, stream: str, count: int) -> Tensor:
    """Uniform numbers in [0, 1) with 24 random bits, float32 `[B, count]`."""
    return _shift_right(random_bits(seed, keys, view, stream, count), 40).to(torch.float32) * 2.0**-24


def integers(seed: int, keys: Tensor, view: ViewNumber, stream: str, count: int, high: int) -> Tensor:
    """Uniform integers in [0, high), int64 `[B, count]`; `high` is at most 2³¹, and the bias at most high / 2³²."""
    if not 0 < high <= 1 << 31:
        raise ValueError(f"high={high}: expected a number from 1 to {1 << 31}")
    return _shift_right(_shift_right(random_bits(seed, keys, view, stream, count), 32) * high, 32)


def epoch_permutation(seed: int, epoch: int, count: int) -> Tensor:
    """Random order of `count` rows in an epoch, int64 `[count]`: rows sorted by hash, ties by row."""
    return torch.argsort(random_bits(seed, torch.arange(count), epoch, "permutation", 1)[:, 0], stable=True)


def permutations(seed: int, keys: Tensor, epoch: int, stream: str, count: int) -> Tensor:
    """For each key a random permutation of `count` numbers, drawn anew in each epoch: int64 `[B, count]`."""
    return torch.argsort(random_bits(seed, keys, epoch, stream, count), dim=1, stable=True)


def hashes(seed: int, keys: Tensor, stream: str) -> Tensor:
    """One random int64 for each key. Sorting by it gives an order that depends on content, not on the order of the data."""
    return random_bits(seed, keys, 0, stream, 1)[:, 0]


def random_bits(seed: int, keys: Tensor, view: ViewNumber, stream: str, count: int) -> Tensor:
    """64 random bits in each entry, int64 `[B, count]`."""
    start = _mix64(keys ^ (_salts(seed, view, stream) if isinstance(view, Tensor) else _salt(seed, view, stream)))
    steps = torch.arange(1, count + 1, device=keys.device) * _signed(_GOLDEN)
    return _mix64(start[:, None] + steps)


def _salts(seed: int, views: Tensor, stream: str) -> Tensor:
    """One salt for each item. Items share few views, so each distinct view is hashed once."""
    distinct, index = torch.unique(views, return_inverse=True)
    table = [_salt(seed, view, stream) for view in distinct.tolist()]
    return torch.tensor(table, dtype=torch.int64, device=views.device)[index]


@lru_cache(maxsize=4096)
def _salt(seed: int, view: int, stream: str) -> int:
    # The lengths are fixed or last, so no two triples give the same bytes.
    name = (seed & _MASK).to_bytes(8, "little") + (view & _MASK).to_bytes(8, "little") + stream.encode()
    return int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "little", signed=True)


def _mix64(z: Tensor) -> Tensor:
    z = (z ^ _shift_right(z, 30)) * _signed(_FIRST)
    z = (z ^ _shift_right(z, 27)) * _signed(_SECOND)
    return z ^ _shift_right(z, 31)


def _shift_right(z: Tensor, by: int) -> Tensor:
    # `>>` copies the sign bit into the gap; the mask clears it.
    return (z >> by) & ((1 << (64 - by)) - 1)


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value
