"""One batch as every part of a run sees it, and the interface of whatever yields batches."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

DEFAULT_VIEW = "default"


@dataclass(frozen=True)
class Batch:
    """Inputs by view, with what is known about each item.

    Attributes:
        inputs: view name -> what a model is called with: a tensor `[batch, ...]`, or a mapping of tensors (modalities, or
            the keyword arguments of a Transformers model).
        target: class indices `[batch]` (-100: no label) or class probabilities `[batch, classes]` (a row of zeros: no label).
        keys: int64 content hash of each item `[batch]`; what randomness and stores are keyed by.
        index: row of each item in its data set `[batch]`.
        mask: real tokens `[batch, tokens]`, or None.
        weight: weight of each item `[batch]`, or None.
    """

    inputs: Mapping[str, Any]
    target: Tensor | None = None
    keys: Tensor | None = None
    index: Tensor | None = None
    mask: Tensor | None = None
    weight: Tensor | None = None
    extras: Mapping[str, Any] = field(default_factory=dict)

    @property
    def size(self) -> int:
        return _first_tensor(self.inputs).shape[0]

    def to(self, device: torch.device | str) -> Batch:
        names = ("inputs", "target", "keys", "index", "mask", "weight", "extras")
        return replace(self, **{name: _move(getattr(self, name), device) for name in names})


@dataclass(frozen=True)
class Place:
    """Which part of which global batch is asked for.

    `round` counts optimizer updates of the stage from 0. The global batch of a round is cut into `parts` equal pieces, one for
    each (accumulation step, rank); `part` is the piece wanted. A source answers from (seed, place) alone, so that any number
    of ranks, workers and resumptions sees the same items.
    """

    round: int
    seed: int = 0
    part: int = 0
    parts: int = 1


class Source(ABC):
    """Where inputs come from. `batch(place)` is a pure function of the place (and of the source's own state)."""

    samples: int | None = None  # items in the underlying data set; None where there is none
    rounds_per_epoch: int | None = None

    @abstractmethod
    def batch(self, place: Place) -> Batch: ...


def _first_tensor(value: Any) -> Tensor:
    while not isinstance(value, Tensor):
        value = next(iter(value.values()))
    return value


def _move(value: Any, device: torch.device | str) -> Any:
    if isinstance(value, Tensor):
        return value.to(device, non_blocking=True)
    if isinstance(value, Mapping):
        return {name: _move(part, device) for name, part in value.items()}
    return value
