"""Codecs of the largest probabilities of each item and the total of all others.

An entry is one integer: the class index in the low bits (as many as the class count needs), the code of the probability above.
Entries are packed bit by bit, the most probable first. The code of a probability p is

    steps   8 bits: round(−16 ln p), at most 254 (e^(−15.875)); 255 is exactly zero
    fp16    16 bits: ln p as a half
    fp32    32 bits: p as a float

Decoding normalises steps and halves to a total of one, support and tail together. As every ln p is off by at most 1/32,
Hoeffding's lemma bounds the divergence of the stored from the given distribution over support and tail: KL ≤ (1/16)² / 8 < 5e-4
nat for any distribution; probabilities raised to the floor add at most k · 1.3e-7. Rounding makes ties; a tilt of 2⁻²⁰ nat for
each position keeps the teacher's order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from limbeck.core.signals import AnySignal, TopK
from limbeck.teacher_cache.codecs.base import Codec, refuse_rows, registry, require_choice
from limbeck.teacher_cache.codecs.bit_packing import bits_for, pack, packed_bytes, unpack
from limbeck.teacher_cache.codecs.row_table import RaggedColumn, RowTable
from limbeck.teacher_cache.errors import StoreError

ValuePrecision = Literal["steps", "fp16", "fp32"]
VALUE_BITS = {"steps": 8, "fp16": 16, "fp32": 32}
STEPS, FLOOR, ZERO = 16, 254, 255  # steps in a nat; the code of the smallest probability; the code of zero
TILT = 2.0**-20  # nat
MAX_CLASSES, MAX_ENTRIES = 2**18, 4096
TOTAL_TOLERANCE = 0.02  # half-precision probabilities of a large support add up no more exactly


@dataclass(frozen=True)
class ProbabilityCodec(Codec):
    """Base of the two codecs. A signal is `TopK` [B, k] or dense logits [B, classes]."""

    def _check(self, entries: int, name: str, classes: int, values: str) -> None:
        require_choice("values", values, VALUE_BITS)
        if not 1 <= classes <= MAX_CLASSES:
            raise ValueError(f"classes: expected 1 to {MAX_CLASSES:,}, found {classes}")
        if not 1 <= entries <= min(classes, MAX_ENTRIES):
            raise ValueError(f"{name}: expected 1 to {min(classes, MAX_ENTRIES):,} ({classes:,} classes), found {entries}")


@registry.register("top_k")
@dataclass(frozen=True)
class TopKCodec(ProbabilityCodec):
    """The k largest probabilities of each item.

    Args:
        k: entries for each item.
        classes: the number of classes or the vocabulary size, up to 2^18.
        values: precision of a probability: "steps" (one byte), "fp16" or "fp32". Steps end 15.9 nat below one: at a temperature
            above 1, which raises smaller probabilities, use dense logits.
    """

    k: int
    classes: int
    values: ValuePrecision = "steps"
    name: ClassVar[str] = "top_k"
    tensors: ClassVar[frozenset[str]] = frozenset({"entries", "tail"})

    def __post_init__(self) -> None:
        self._check(self.k, "k", self.classes, self.values)

    def encode(self, signal: AnySignal) -> RowTable:
        largest = to_top_k(signal, self.k, self.classes)
        if largest.values.shape[1] != self.k:
            raise StoreError(f"codec top_k: expected {self.k} entries per item, found {largest.values.shape[1]}")
        entries = pack(_entries(largest, self.classes, self.values), _width(self.classes, self.values))
        return RowTable({"entries": entries, "tail": _codes(largest.tail, self.values)})

    def decode(self, table: RowTable) -> TopK:
        """Returns values float32 [B, k], descending; indices int64 [B, k]; tail float32 [B]."""
        entries = unpack(table.columns["entries"], self.k, _width(self.classes, self.values))
        return _decoded(entries, table.columns["tail"], self.classes, self.values)


def top_k_codec(options: Mapping[str, Any], classes: int = MAX_CLASSES) -> TopKCodec:
    """The codec of `cache.logits` in its long form, such as `{k: 16, values: steps}`.

    Args:
        classes: of the teacher; the default is the most that can be, for checks before it is known.

    Raises:
        ValueError: k is missing or exceeds the classes; unknown options, or of a wrong type.
    """
    if "classes" in options:
        raise ValueError("classes are those of the teacher; leave them out")
    if "k" not in options:
        raise ValueError("k is missing; give it, such as {k: 16}")
    codec = registry.get("top_k", **{**options, "classes": classes})
    assert isinstance(codec, TopKCodec)
    return codec


@registry.register("ragged_top_k")
@dataclass(frozen=True)
class RaggedTopK(ProbabilityCodec):
    """The fewest largest probabilities that add up to `mass` (as in nucleus sampling), at least one and at most `bound`.

    Decoding gives all items as many entries as the longest of the batch has. Padding entries have value 0 at the index of the
    item's first entry, so that they do not change a sum over the support.

    Args:
        mass: the total probability of an item's entries, above 0 and up to 1.
        bound: the most entries of an item.
        classes, values: as in `TopKCodec`.
    """

    mass: float
    bound: int
    classes: int
    values: ValuePrecision = "steps"
    name: ClassVar[str] = "ragged_top_k"
    tensors: ClassVar[frozenset[str]] = frozenset({"entries/offsets", "entries/bytes", "tail"})

    def __post_init__(self) -> None:
        self._check(self.bound, "bound", self.classes, self.values)
        if not 0 < self.mass <= 1:
            raise ValueError(f"mass: expected more than 0 and at most 1, found {self.mass}")

    def encode(self, signal: AnySignal) -> RowTable:
        largest = to_top_k(signal, self.bound, self.classes)
        before = largest.values.cumsum(1) - largest.values
        kept = (before < self.mass) & (largest.values > 0)
        kept[:, 0] = True
        tail = largest.tail + torch.where(kept, 0.0, largest.values).sum(1)
        width = _width(self.classes, self.values)
        packed = pack(_entries(largest, self.classes, self.values) * kept, width)
        lengths = (kept.sum(1) * width + 7) // 8
        inside = torch.arange(packed.shape[1], device=packed.device) < lengths.unsqueeze(1)
        entries = RaggedColumn.from_lengths(lengths, RowTable({"bytes": packed[inside]}))
        return RowTable({"tail": _codes(tail, self.values)}, {"entries": entries})

    def decode(self, table: RowTable) -> TopK:
        """Returns values float32 [B, longest], descending; indices int64 [B, longest]; tail float32 [B]."""
        ragged, width = table.ragged["entries"], _width(self.classes, self.values)
        counts = 8 * ragged.lengths // width  # an entry is wider than a byte, so that the bytes give their number
        longest = int(counts.max()) if len(counts) else 1
        inside = torch.arange(packed_bytes(longest, width), device=counts.device) < ragged.lengths.unsqueeze(1)
        packed = torch.zeros(inside.shape, dtype=torch.uint8, device=counts.device)
        packed[inside] = ragged.entries.columns["bytes"]
        there = torch.arange(longest, device=counts.device) < counts.unsqueeze(1)
        entries = unpack(packed, longest, width)
        return _decoded(entries, table.columns["tail"], self.classes, self.values, there)


def to_top_k(signal: AnySignal, k: int, classes: int) -> TopK:
    """Returns the k largest probabilities in descending order, equal ones by index; others are added to the tail.

    Args:
        signal: `TopK` [B, any] or dense logits [B, classes].
        k: the number of entries.
        classes: the number of classes.

    Raises:
        SignalError: an item without valid probabilities.
        StoreError: another kind of signal.
    """
    if isinstance(signal, Tensor):
        signal = _largest(signal, k, classes)
    if not isinstance(signal, TopK) or signal.values.ndim != 2 or signal.values.shape != signal.indices.shape:
        raise StoreError(f"codec top_k: expected TopK [B, k] or logits [B, {classes}], found {type(signal).__name__}")
    values, indices, tail = signal.values.detach().float(), signal.indices.long(), signal.tail.detach().float()
    refuse_rows(~(values.isfinite().all(1) & tail.isfinite()), "NaN or infinity")
    refuse_rows((indices < 0) | (indices >= classes), f"a class index outside 0 to {classes - 1}")
    total = values.sum(1) + tail
    wrong = (values < 0).any(1) | (tail < -TOTAL_TOLERANCE) | ((total - 1).abs() > TOTAL_TOLERANCE)
    refuse_rows(wrong, "values and tail that are no probabilities: they must be at least 0 and add up to 1")
    by_index = indices.argsort(dim=1, stable=True)
    order = by_index.gather(1, values.gather(1, by_index).argsort(dim=1, descending=True, stable=True))
    values, indices = values.gather(1, order), indices.gather(1, order)
    return TopK(values[:, :k], indices[:, :k], tail.clamp_min(0) + values[:, k:].sum(1))


def _largest(logits: Tensor, k: int, classes: int) -> TopK:
    if logits.ndim != 2 or logits.shape[1] != classes or not logits.is_floating_point():
        raise StoreError(f"codec top_k: expected logits [B, {classes}], found {logits.dtype} {list(logits.shape)}")
    refuse_rows(~logits.isfinite(), "NaN or infinity")
    logits = logits.detach().float()
    highest, indices = logits.topk(k, 1)
    total = (logits - highest[:, :1]).exp().sum(1, keepdim=True)
    values = (highest - highest[:, :1]).exp() / total  # not from logsumexp, which rounds where logits are large
    rest = (1 - values.sum(1)).clamp_min(0) if k < classes else values.new_zeros(len(values))
    return TopK(values, indices, rest)


def _width(classes: int, values: ValuePrecision) -> int:
    return bits_for(classes) + VALUE_BITS[values]


def _entries(largest: TopK, classes: int, values: ValuePrecision) -> Tensor:
    codes = _codes(largest.values, values)
    if values == "fp16":
        codes = codes.view(torch.int16).long() & 0xFFFF
    elif values == "fp32":
        codes = codes.view(torch.int32).long() & 0xFFFFFFFF
    return largest.indices | (codes.long() << bits_for(classes))


def _codes(p: Tensor, values: ValuePrecision) -> Tensor:
    """Returns the codes of probabilities: uint8, half or float, of the same shape."""
    if values == "fp32":
        return p
    if values == "fp16":
        return p.log().half()
    return torch.where(p > 0, (-STEPS * p.log()).round().clamp(0, FLOOR), ZERO).to(torch.uint8)


def _log(codes: Tensor) -> Tensor:
    """Returns the logarithms of steps (integers) or halves; −∞ for zero."""
    if codes.is_floating_point():
        return codes.float()
    return torch.where(codes < ZERO, codes.float() / -STEPS, -torch.inf)


def _decoded(entries: Tensor, tail: Tensor, classes: int, values: ValuePrecision, there: Tensor | None = None) -> TopK:
    indices, codes = entries & ((1 << bits_for(classes)) - 1), entries >> bits_for(classes)
    if values == "fp32":
        p = codes.to(torch.int32).view(torch.float32)
    else:
        logs = _log(codes.to(torch.int16).view(torch.float16) if values == "fp16" else codes)
        p = (logs - TILT * torch.arange(codes.shape[1], device=codes.device)).exp()
    if there is not None:
        p, indices = torch.where(there, p, 0.0), torch.where(there, indices, indices[:, :1])
    if values == "fp32":
        return TopK(p, indices, tail)
    rest = _log(tail).exp()
    total = (p.sum(1) + rest).clamp_min(torch.finfo(torch.float32).tiny)
    return TopK(p / total.unsqueeze(1), indices, rest / total)
