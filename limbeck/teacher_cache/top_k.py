"""The largest probabilities of each item and the mass of all others, in the fewest bits.

An entry is a class index and the code of its probability in one integer: the index in the low bits (as many as the class count
needs), the code above. Entries are packed bit by bit, the most probable first. The code of a probability p is

    steps   8 bits: round(−16 ln p), at most 254 (e^(−15.875)); 255 is exactly zero
    fp16    16 bits: ln p as a half
    fp32    32 bits: p as a float

Steps and halves are brought back to a total of one, support and tail together. With every ln p off by at most 1/32, Hoeffding's
lemma bounds the divergence of the stored from the given distribution over the support and the tail: KL ≤ (1/16)² / 8 < 5e-4
nat, whatever the distribution; probabilities raised to the floor add at most k · 1.3e-7. Rounding makes ties; a tilt of 2⁻²⁰
nat a place keeps the order that the teacher gave.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from limbeck.core.signals import AnySignal, TopK
from limbeck.teacher_cache.bit_packing import bits_for, pack, packed_bytes, unpack
from limbeck.teacher_cache.codecs import Codec, codecs, refuse_rows, require_choice
from limbeck.teacher_cache.errors import StoreError
from limbeck.teacher_cache.row_table import Lists, Table

Values = Literal["steps", "fp16", "fp32"]
VALUE_BITS = {"steps": 8, "fp16": 16, "fp32": 32}
STEPS, FLOOR, ZERO = 16, 254, 255  # steps to a nat; the least probable code; the code of nothing at all
TILT = 2.0**-20  # nat
MOST_CLASSES, MOST_ENTRIES = 2**18, 4096
TOTAL_TOLERANCE = 0.02  # half-precision probabilities of a large support add up no better


@dataclass(frozen=True)
class Support(Codec):
    """What the two codecs share; a signal is `TopK` [B, k] or dense logits [B, classes]."""

    def _check(self, entries: int, name: str, classes: int, values: str) -> None:
        require_choice("values", values, VALUE_BITS)
        if not 1 <= classes <= MOST_CLASSES:
            raise ValueError(f"classes: expected 1 to {MOST_CLASSES:,}, found {classes}")
        if not 1 <= entries <= min(classes, MOST_ENTRIES):
            raise ValueError(f"{name}: expected 1 to {min(classes, MOST_ENTRIES):,} ({classes:,} classes), found {entries}")


@codecs.register("top_k")
@dataclass(frozen=True)
class TopKCodec(Support):
    """The k largest probabilities of each item.

    Args:
        k: entries per item.
        classes: the class count or vocabulary, up to 2^18.
        values: how a probability is kept: "steps" (one byte), "fp16" or "fp32". Steps end 15.9 nat below one: at a temperature
            above 1, which lifts what lies below, use dense logits.
    """

    k: int
    classes: int
    values: Values = "steps"
    name: ClassVar[str] = "top_k"
    tensors: ClassVar[frozenset[str]] = frozenset({"entries", "tail"})

    def __post_init__(self) -> None:
        self._check(self.k, "k", self.classes, self.values)

    def encode(self, signal: AnySignal) -> Table:
        largest = ordered(signal, self.k, self.classes)
        if largest.values.shape[1] != self.k:
            raise StoreError(f"codec top_k: expected {self.k} entries per item, found {largest.values.shape[1]}")
        entries = pack(_entries(largest, self.classes, self.values), _width(self.classes, self.values))
        return Table({"entries": entries, "tail": _codes(largest.tail, self.values)})

    def decode(self, table: Table) -> TopK:
        """Values float32 [B, k], falling; indices int64 [B, k]; tail float32 [B]."""
        entries = unpack(table.columns["entries"], self.k, _width(self.classes, self.values))
        return _decoded(entries, table.columns["tail"], self.classes, self.values)


@codecs.register("ragged_top_k")
@dataclass(frozen=True)
class RaggedTopK(Support):
    """As many of the largest probabilities as hold `mass`, at least one and at most `bound`.

    An item is read back with as many entries as the longest of its batch: those that it lacks have value 0 at the index of its
    own first entry, so that a sum over the support stays what it is.

    Args:
        mass: the share of probability that the entries of an item hold together, above 0 and up to 1.
        bound: the most entries of an item.
        classes, values: as in `TopKCodec`.
    """

    mass: float
    bound: int
    classes: int
    values: Values = "steps"
    name: ClassVar[str] = "ragged_top_k"
    tensors: ClassVar[frozenset[str]] = frozenset({"entries/offsets", "entries/bytes", "tail"})

    def __post_init__(self) -> None:
        self._check(self.bound, "bound", self.classes, self.values)
        if not 0 < self.mass <= 1:
            raise ValueError(f"mass: expected more than 0 and at most 1, found {self.mass}")

    def encode(self, signal: AnySignal) -> Table:
        largest = ordered(signal, self.bound, self.classes)
        before = largest.values.cumsum(1) - largest.values
        kept = (before < self.mass) & (largest.values > 0)
        kept[:, 0] = True
        tail = largest.tail + torch.where(kept, 0.0, largest.values).sum(1)
        width = _width(self.classes, self.values)
        packed = pack(_entries(largest, self.classes, self.values) * kept, width)
        lengths = (kept.sum(1) * width + 7) // 8
        inside = torch.arange(packed.shape[1], device=packed.device) < lengths.unsqueeze(1)
        entries = Lists.of(lengths, Table({"bytes": packed[inside]}))
        return Table({"tail": _codes(tail, self.values)}, {"entries": entries})

    def decode(self, table: Table) -> TopK:
        """Values float32 [B, longest], falling; indices int64 [B, longest]; tail float32 [B]."""
        lists, width = table.lists["entries"], _width(self.classes, self.values)
        counts = 8 * lists.lengths // width  # an entry is wider than a byte, so that the bytes tell how many there are
        longest = int(counts.max()) if len(counts) else 1
        inside = torch.arange(packed_bytes(longest, width), device=counts.device) < lists.lengths.unsqueeze(1)
        packed = torch.zeros(inside.shape, dtype=torch.uint8, device=counts.device)
        packed[inside] = lists.entries.columns["bytes"]
        there = torch.arange(longest, device=counts.device) < counts.unsqueeze(1)
        entries = unpack(packed, longest, width)
        return _decoded(entries, table.columns["tail"], self.classes, self.values, there)


def ordered(signal: AnySignal, k: int, classes: int) -> TopK:
    """The k largest probabilities, falling, the lower index first where two are equal; a wider support gives to the tail.

    Args:
        signal: `TopK` [B, any] or dense logits [B, classes].
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
    refuse_rows(wrong, "values and tail that are not probabilities: they must be at least 0 and add up to 1")
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


def _width(classes: int, values: Values) -> int:
    return bits_for(classes) + VALUE_BITS[values]


def _entries(largest: TopK, classes: int, values: Values) -> Tensor:
    codes = _codes(largest.values, values)
    if values == "fp16":
        codes = codes.view(torch.int16).long() & 0xFFFF
    elif values == "fp32":
        codes = codes.view(torch.int32).long() & 0xFFFFFFFF
    return largest.indices | (codes.long() << bits_for(classes))


def _codes(p: Tensor, values: Values) -> Tensor:
    """Probabilities as they are stored: uint8, half or float, of the same shape."""
    if values == "fp32":
        return p
    if values == "fp16":
        return p.log().half()
    return torch.where(p > 0, (-STEPS * p.log()).round().clamp(0, FLOOR), ZERO).to(torch.uint8)


def _log(codes: Tensor) -> Tensor:
    """The logarithms of steps (any integers) or of halves; −∞ for nothing at all."""
    if codes.is_floating_point():
        return codes.float()
    return torch.where(codes < ZERO, codes.float() / -STEPS, -torch.inf)


def _decoded(entries: Tensor, tail: Tensor, classes: int, values: Values, there: Tensor | None = None) -> TopK:
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
