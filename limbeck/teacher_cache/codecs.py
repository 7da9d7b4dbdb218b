"""How a signal becomes rows of bytes and comes back: one codec per tap. Here the dense ones; the others stand beside.

Encoding runs where the signal is, decoding on the device asked for; neither loops over items.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from limbeck.core.signals import AnySignal
from limbeck.teacher_cache.errors import SignalError, StoreError
from limbeck.teacher_cache.row_table import Table
from limbeck.utils.registry import Registry

codecs = Registry("codec")
FLOATS = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}
Precision = Literal["fp16", "bf16", "fp32"]


class Codec(ABC):
    """Turns the signals of a batch into a `Table` of as many rows, and back."""

    name: ClassVar[str]

    @abstractmethod
    def encode(self, signal: AnySignal) -> Table:
        """One row per item.

        Raises:
            SignalError: an item that cannot be stored (NaN, infinity, out of range), with its place in the batch.
            ValueError: another kind or shape of signal than this codec's.
        """

    @abstractmethod
    def decode(self, table: Table) -> AnySignal:
        """The signals of these rows, on the device that the table is on."""

    @property
    @abstractmethod
    def tensors(self) -> frozenset[str]:
        """The names of the tensors that a table of this codec is made of."""

    def spec(self) -> dict[str, Any]:
        """Name and settings as plain values; `codec_from` builds the codec again."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}  # type: ignore[arg-type]
        return {"codec": self.name, **{key: v.spec() if isinstance(v, Codec) else v for key, v in values.items()}}


def codec_from(spec: Mapping[str, Any]) -> Codec:
    """The codec that `spec` describes.

    Raises:
        ValueError: a name or setting that does not exist.
    """
    settings = {key: codec_from(value) if isinstance(value, Mapping) else value for key, value in spec.items()}
    codec = codecs.get(str(settings.pop("codec", "nothing")), **settings)
    if not isinstance(codec, Codec):
        raise StoreError(f"codec {spec.get('codec')!r} is not a limbeck.teacher_cache.Codec")
    return codec


@codecs.register("dense")
@dataclass(frozen=True)
class Dense(Codec):
    """Any tensor [B, …], number by number: logits, embeddings, feature maps, hidden states.

    Args:
        precision: "fp16" (11 significant bits, up to 65,504), "bf16" (8 bits, any size) or "fp32" (as it is).
    """

    precision: Precision = "fp16"
    name: ClassVar[str] = "dense"
    tensors: ClassVar[frozenset[str]] = frozenset({"values"})

    def __post_init__(self) -> None:
        require_choice("precision", self.precision, FLOATS)

    def encode(self, signal: AnySignal) -> Table:
        exact = dense(signal, self.name)
        values = exact.to(FLOATS[self.precision], copy=True)  # the caller may use its tensor again
        if exact.dtype != values.dtype:
            refuse_rows(~values.isfinite(), f"a value that {self.precision} cannot hold; store this tap as bf16 or fp32")
        return Table({"values": values})

    def decode(self, table: Table) -> Tensor:
        """float32 [B, …]."""
        return table.columns["values"].float()


@codecs.register("int8")
@dataclass(frozen=True)
class ScaledInt8(Codec):
    """Feature maps and hidden states in one byte a number, with scales of their own for each item.

    Every number is stored as a multiple, −127 to 127, of its scale, so that it is off by at most 1/254 of the largest number
    under the same scale. There is one scale per channel of a map [B, C, H, W] and of tokens [B, T, D] (the last axis), and one
    per item of a vector [B, D]; inside `Tokens` every token is such a vector.
    """

    name: ClassVar[str] = "int8"
    tensors: ClassVar[frozenset[str]] = frozenset({"values", "scale"})

    def encode(self, signal: AnySignal) -> Table:
        values = dense(signal, self.name).float()
        within = _axes_of_scale(values.ndim)
        refuse_rows(~values.isfinite(), "a value that fp32 cannot hold")
        scale = values.abs().amax(within, keepdim=True) / 127 if values.numel() else values.sum(within, keepdim=True)
        codes = torch.where(scale > 0, values / scale, 0.0).round_().clamp_(-127, 127)
        return Table({"values": codes.to(torch.int8), "scale": scale})

    def decode(self, table: Table) -> Tensor:
        """float32 [B, …]."""
        return table.columns["values"].float() * table.columns["scale"]


def _axes_of_scale(ndim: int) -> tuple[int, ...]:
    """The axes over which one scale holds."""
    if ndim < 2:
        raise StoreError(f"int8: expected [B, D], [B, T, D] or [B, C, H, W], found {ndim} axes; use Dense for this tap")
    return {2: (1,), 3: (1,)}.get(ndim, tuple(range(2, ndim)))


def dense(signal: AnySignal, codec: str) -> Tensor:
    """The signal as a finite floating-point tensor."""
    if not isinstance(signal, Tensor) or not signal.is_floating_point() or signal.ndim < 1:
        kind = f"{signal.dtype} {list(signal.shape)}" if isinstance(signal, Tensor) else type(signal).__name__
        raise StoreError(
            f"codec {codec}: expected a floating-point tensor [B, …], found {kind}; choose another codec for this tap"
        )
    refuse_rows(~signal.isfinite(), "NaN or infinity")
    return signal.detach()


def refuse_rows(bad: Tensor, what: str) -> None:
    """Raise a `SignalError` for the first item with a bad entry; `bad` is bool [B, …]."""
    if bool(bad.any()):
        raise SignalError(int(bad.flatten(1).any(1).nonzero()[0]) if bad.ndim > 1 else int(bad.nonzero()[0]), what)


def require_choice(field: str, value: object, choices: Mapping[str, Any]) -> None:
    if value not in choices:
        raise ValueError(f"{field}: expected {', '.join(choices)}, found {value!r}")
