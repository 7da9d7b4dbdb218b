"""Signals: model outputs and intermediate activations for a batch, with the batch as first axis.

Most signals are plain tensors (logits, feature maps, hidden states). The classes here are for signals that one dense tensor
cannot hold: `TopK` has the largest probabilities and the mass of all others, `LinearLogits` the hidden state and the output
layer, so that the full `[batch, tokens, vocabulary]` product need not be computed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from enum import Enum, StrEnum
from typing import Any, TypeAlias, overload

import torch
from torch import Tensor


class Kind(StrEnum):
    """The meaning of the axes of a dense signal."""

    VECTOR = "vector"  # [B, D]: logits, embeddings, pooled features
    TOKENS = "tokens"  # [B, T, D]: hidden states, patch tokens
    MAP = "map"  # [B, C, H, W]: feature maps
    OTHER = "other"

    @classmethod
    def of(cls, shape: torch.Size | tuple[int, ...]) -> Kind:
        return {2: cls.VECTOR, 3: cls.TOKENS, 4: cls.MAP}.get(len(shape), cls.OTHER)


class Match(Enum):
    """Which axes of student and teacher must agree before they are compared; adapters make them agree."""

    NOTHING = "nothing"
    SPACE = "space"  # height and width, or tokens; channel counts may differ
    CHANNELS = "channels"  # channel counts; height and width may differ
    EVERYTHING = "everything"


@dataclass(frozen=True)
class Signal:
    """Base class of composite signals: a frozen dataclass of tensors that is moved and detached as a whole."""

    def detach(self) -> Signal:
        return self.each(lambda tensor: tensor.detach())

    def to(self, device: torch.device | str) -> Signal:
        return self.each(lambda tensor: tensor.to(device))

    def each(self, change: Callable[[Tensor], Tensor]) -> Signal:
        """The same signal with `change` applied to every tensor."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return type(self)(**{name: change(v) if isinstance(v, Tensor) else v for name, v in values.items()})


@dataclass(frozen=True)
class TopK(Signal):
    """The k largest probabilities of each item: `values` [..., k], class `indices` [..., k], and the `tail` mass [...] of all
    other classes. The tail counts as one more outcome; probabilities are never renormalised."""

    values: Tensor
    indices: Tensor
    tail: Tensor


@dataclass(frozen=True)
class LinearLogits(Signal):
    """Logits as an unevaluated product hidden·weightᵀ + bias: `hidden` [..., D], `weight` [C, D], `bias` [C] or None."""

    hidden: Tensor
    weight: Tensor
    bias: Tensor | None = None

    def dense(self) -> Tensor:
        """The logits as one tensor [..., C]."""
        return torch.nn.functional.linear(self.hidden, self.weight, self.bias)


AnySignal: TypeAlias = Tensor | Signal | tuple[Tensor, ...]


@overload
def detach(signal: Tensor) -> Tensor: ...
@overload
def detach(signal: AnySignal) -> AnySignal: ...
def detach(signal: AnySignal) -> AnySignal:
    """The same signal, detached from the autograd graph; itself if it is a tensor without gradient."""
    if isinstance(signal, Tensor):
        return signal.detach() if signal.requires_grad else signal
    return tuple(part.detach() for part in signal) if isinstance(signal, tuple | list) else signal.detach()


def shape_of(signal: AnySignal) -> tuple[int, ...] | tuple[tuple[int, ...], ...]:
    """The shape of a signal, or of each of its parts."""
    if isinstance(signal, Tensor):
        return tuple(signal.shape)
    if isinstance(signal, tuple):
        return tuple(tuple(part.shape) for part in signal)
    if isinstance(signal, LinearLogits):
        return (*signal.hidden.shape[:-1], signal.weight.shape[0])
    if isinstance(signal, TopK):
        return tuple(signal.values.shape)
    raise TypeError(f"not a signal: {type(signal).__name__}")


def tensors_of(signal: Any) -> tuple[Tensor, ...]:
    """The floating-point tensors that a signal consists of."""
    if isinstance(signal, Tensor):
        return (signal,)
    if signal is None:
        return ()
    if isinstance(signal, list | tuple):
        return tuple(signal)
    if isinstance(signal, Signal):
        parts = (getattr(signal, field.name) for field in fields(signal))
        return tuple(part for part in parts if isinstance(part, Tensor) and part.is_floating_point())
    return (signal,)


def working_dtype(signal: Any) -> torch.dtype:
    """The data type in which a signal is compared: its own, but float32 at least."""
    return torch.promote_types(tensors_of(signal)[0].dtype, torch.float32)


def to_working_dtype(signal: Any, dtype: torch.dtype | None = None) -> Any:
    """The signal in its working data type, or in `dtype`; `LinearLogits` are multiplied out."""
    if isinstance(signal, Tensor):
        own = signal.dtype
        if own is (dtype or torch.float32):
            return signal
        return signal.to(dtype or torch.promote_types(own, torch.float32))
    if isinstance(signal, list | tuple):
        return tuple(to_working_dtype(part, dtype) for part in signal)
    dtype = dtype or working_dtype(signal)
    if isinstance(signal, TopK):
        return TopK(signal.values.to(dtype), signal.indices.long(), signal.tail.to(dtype))
    if isinstance(signal, LinearLogits):
        bias = None if signal.bias is None else signal.bias.to(dtype)
        return LinearLogits(signal.hidden.to(dtype), signal.weight.to(dtype), bias).dense()
    return signal
