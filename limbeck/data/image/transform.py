"""What a keyed transform is, and the random numbers it is given.

A view promises the same tensor bit for bit for the same (item, seed, view number), whatever else is in the batch. So a
transform uses gathers and separate elementwise multiplications and additions only (each is rounded correctly, so that
vectorised loops and their scalar ends agree), sums integers where it must sum, and computes logarithms, roots and the
like in double precision one item at a time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from limbeck.data import keyed_random
from limbeck.utils.registry import Registry

transforms = Registry("transform")


@dataclass(frozen=True)
class KeyedGenerator:
    """Random numbers of one transform in one view, a row for each item: a pure function of the item's key."""

    seed: int
    keys: Tensor
    view: keyed_random.ViewNumber
    stream: str

    def uniform(self, count: int) -> Tensor:
        return keyed_random.uniform(self.seed, self.keys, self.view, self.stream, count)

    def integers(self, count: int, high: int) -> Tensor:
        return keyed_random.integers(self.seed, self.keys, self.view, self.stream, count, high)


class Transform(ABC):
    """Images `[B, C, H, W]` to images, uint8 or float32 in [0, 1]; what only moves pixels may keep uint8."""

    name: ClassVar[str]

    @abstractmethod
    def __call__(self, images: Tensor, generator: KeyedGenerator) -> Tensor: ...


class MixTransform(ABC):
    """Images mixed with a partner each; `share` is how much of every result is still the item itself."""

    name: ClassVar[str]

    @abstractmethod
    def __call__(self, images: Tensor, partners: Tensor, generator: KeyedGenerator) -> tuple[Tensor, Tensor]:
        """The mixed images, and `share` as float32 `[B]`."""


class PartnerPool(Protocol):
    """Where mixing finds partners: a data set by row. `Items` is one."""

    @property
    def keys(self) -> Tensor: ...
    @property
    def target(self) -> Tensor | None: ...
    @property
    def classes(self) -> int | None: ...
    def __len__(self) -> int: ...
    def fetch(self, rows: Tensor) -> Any: ...


def to_float(images: Tensor) -> Tensor:
    """uint8 to float32 in [0, 1]; anything else is handed through."""
    return images.to(torch.float32).div_(255) if images.dtype == torch.uint8 else images


def check_fraction(name: str, value: float) -> float:
    if not 0 <= value <= 1:
        raise ValueError(f"{name}={value}: expected a number from 0 to 1")
    return value
