"""What a model says about a batch: small frozen dataclasses of tensors, all with the batch as first axis.

Plain tensors are the common case (logits, feature maps, hidden states). The classes here are for signals that one dense
tensor cannot hold: `TopK` keeps the largest probabilities and the mass of all others, `LinearLogits` keeps the hidden state
and the output layer apart, so that the full `[batch, tokens, vocabulary]` product need never exist.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from enum import Enum, StrEnum
from typing import TypeAlias

import torch
from torch import Tensor


class Kind(StrEnum):
    """What the axes of a dense signal mean."""

    VECTOR = "vector"  # [B, D]: logits, embeddings, pooled features
    TOKENS = "tokens"  # [B, T, D]: hidden states, patch tokens
    MAP = "map"  # [B, C, H, W]: feature maps
    OTHER = "other"

    @classmethod
    def of(cls, shape: torch.Size | tuple[int, ...]) -> Kind:
        return {2: cls.VECTOR, 3: cls.TOKENS, 4: cls.MAP}.get(len(shape), cls.OTHER)


class Match(Enum):
    """Which axes of student and teacher must agree before they can be compared; an adapter sees to it."""

    NOTHING = "nothing"
    SPACE = "space"  # height and width, or tokens; channel counts may differ
    CHANNELS = "channels"  # channel counts; height and width may differ
    EVERYTHING = "everything"


@dataclass(frozen=True)
class Signal:
    """Base of the composite signals: a frozen bundle of tensors that moves and detaches as one."""

    def detach(self) -> Signal:
        return self.each(lambda tensor: tensor.detach())

    def to(self, device: torch.device | str) -> Signal:
        return self.each(lambda tensor: tensor.to(device))

    def each(self, change: Callable[[Tensor], Tensor]) -> Signal:
        """The same signal with every tensor changed."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return type(self)(**{name: change(v) if isinstance(v, Tensor) else v for name, v in values.items()})


@dataclass(frozen=True)
class TopK(Signal):
    """The k largest probabilities of each item: `values` [..., k], class `indices` [..., k], and the `tail` mass [...]
    of everything outside the support. The tail is one more outcome; it is never renormalised away."""

    values: Tensor
    indices: Tensor
    tail: Tensor


@dataclass(frozen=True)
class LinearLogits(Signal):
    """Logits not yet multiplied out: `hidden` [..., D], `weight` [C, D], `bias` [C] or None; logits = hidden·weightᵀ + bias."""

    hidden: Tensor
    weight: Tensor
    bias: Tensor | None = None

    def dense(self) -> Tensor:
        """The logits as one tensor [..., C]."""
        return torch.nn.functional.linear(self.hidden, self.weight, self.bias)


AnySignal: TypeAlias = Tensor | Signal | tuple[Tensor, ...]


def detach(signal: AnySignal) -> AnySignal:
    """The same signal, cut from the graph."""
    return tuple(part.detach() for part in signal) if isinstance(signal, tuple) else signal.detach()


def shape_of(signal: AnySignal) -> tuple[int, ...] | tuple[tuple[int, ...], ...]:
    """The shape of a signal, or of each of its parts, for adapters and error messages."""
    if isinstance(signal, Tensor):
        return tuple(signal.shape)
    if isinstance(signal, tuple):
        return tuple(tuple(part.shape) for part in signal)
    if isinstance(signal, LinearLogits):
        return (*signal.hidden.shape[:-1], signal.weight.shape[0])
    if isinstance(signal, TopK):
        return tuple(signal.values.shape)
    raise TypeError(f"not a signal: {type(signal).__name__}")
