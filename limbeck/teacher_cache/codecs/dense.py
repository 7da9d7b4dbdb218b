"""The codec of dense tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from limbeck.core.signals import AnySignal
from limbeck.teacher_cache.codecs.base import Codec, refuse_rows, registry, require_choice, require_dense
from limbeck.teacher_cache.codecs.row_table import RowTable

FLOATS = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}
Precision = Literal["fp16", "bf16", "fp32"]


@registry.register("dense")
@dataclass(frozen=True)
class Dense(Codec):
    """Any floating-point tensor [B, …], stored number by number: logits, embeddings, feature maps, hidden states.

    Args:
        precision: "fp16" (11 significant bits, up to 65,504), "bf16" (8 bits, any size) or "fp32" (exact for float32).
    """

    precision: Precision = "fp16"
    name: ClassVar[str] = "dense"
    tensors: ClassVar[frozenset[str]] = frozenset({"values"})

    def __post_init__(self) -> None:
        require_choice("precision", self.precision, FLOATS)

    def encode(self, signal: AnySignal) -> RowTable:
        exact = require_dense(signal, self.name)
        values = exact.to(FLOATS[self.precision], copy=True)  # the caller may overwrite its tensor
        if exact.dtype != values.dtype:
            refuse_rows(~values.isfinite(), f"a value that {self.precision} cannot hold; store this tap as bf16 or fp32")
        return RowTable({"values": values})

    def decode(self, table: RowTable) -> Tensor:
        """Returns float32 [B, …]."""
        return table.columns["values"].float()
