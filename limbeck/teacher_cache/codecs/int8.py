"""The codec of tensors with one byte for each number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from limbeck.core.signals import AnySignal
from limbeck.teacher_cache.codecs.base import Codec, refuse_rows, registry, require_dense
from limbeck.teacher_cache.codecs.row_table import RowTable
from limbeck.teacher_cache.errors import StoreError


@registry.register("int8")
@dataclass(frozen=True)
class ScaledInt8(Codec):
    """Feature maps and hidden states in one byte a number, with scales for each item.

    A number is stored as a multiple, −127 to 127, of its scale, so that its error is at most 1/254 of the largest number under
    the same scale. There is one scale for each channel of a map [B, C, H, W] and of tokens [B, T, D] (the last axis), and one
    for each item of a vector [B, D]; inside `Tokens` every token is such a vector.
    """

    name: ClassVar[str] = "int8"
    tensors: ClassVar[frozenset[str]] = frozenset({"values", "scale"})

    def encode(self, signal: AnySignal) -> RowTable:
        values = require_dense(signal, self.name).float()
        axes = _scaled_axes(values.ndim)
        refuse_rows(~values.isfinite(), "a value that fp32 cannot hold")
        scale = values.abs().amax(axes, keepdim=True) / 127 if values.numel() else values.sum(axes, keepdim=True)
        codes = torch.where(scale > 0, values / scale, 0.0).round_().clamp_(-127, 127)
        return RowTable({"values": codes.to(torch.int8), "scale": scale})

    def decode(self, table: RowTable) -> Tensor:
        """Returns float32 [B, …]."""
        return table.columns["values"].float() * table.columns["scale"]


def _scaled_axes(ndim: int) -> tuple[int, ...]:
    """The axes that share one scale."""
    if ndim < 2:
        raise StoreError(f"int8: expected [B, D], [B, T, D] or [B, C, H, W], found {ndim} axes; use Dense for this tap")
    return {2: (1,), 3: (1,)}.get(ndim, tuple(range(2, ndim)))
