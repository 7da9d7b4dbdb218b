"""The codec of token sequences: any number of tokens for each sample, checked against a hash of the token ids."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from limbeck.core.signals import AnySignal, Signal
from limbeck.teacher_cache.codecs.base import Codec, registry
from limbeck.teacher_cache.codecs.row_table import RaggedColumn, RowTable
from limbeck.teacher_cache.errors import SignalError, StoreError

_MULTIPLIER = 0x9E3779B97F4A7C15 - 2**64  # odd, so that no power of it loses a bit; the golden ratio's digits


@dataclass(frozen=True)
class TokenSignals(Signal):
    """The signal of each token of B sequences, without padding.

    Attributes:
        signal: all tokens one after the other on the first axis: a tensor [total, …] or `TopK` [total, k].
        lengths: the number of tokens of each sequence, [B].
        hashes: `token_hashes` of the token ids, int64 [B].
    """

    signal: AnySignal
    lengths: Tensor
    hashes: Tensor

    def to(self, device: torch.device | str) -> TokenSignals:
        """Returns the signals on another device."""
        signal = tuple(part.to(device) for part in self.signal) if isinstance(self.signal, tuple) else self.signal.to(device)
        return TokenSignals(signal, self.lengths.to(device), self.hashes.to(device))


def token_hashes(ids: Tensor, lengths: Tensor) -> Tensor:
    """Returns a hash of each sequence of token ids, int64 [B]: a polynomial of the ids modulo 2^64.

    It detects that a text is tokenized differently (other ids, order or number); it does not protect against forgery.

    Args:
        ids: token ids of all sequences one after the other, [total].
        lengths: number of tokens of each sequence, [B].
    """
    lengths = lengths.long()
    longest = int(lengths.max()) if len(lengths) else 0
    powers = torch.full((longest + 1,), _MULTIPLIER, dtype=torch.int64, device=ids.device).cumprod(0)
    row = torch.repeat_interleave(torch.arange(len(lengths), device=ids.device), lengths)
    place = torch.arange(len(row), device=ids.device) - (lengths.cumsum(0) - lengths)[row]
    return powers[lengths].index_add(0, row, (ids.long() + 1) * powers[place])


@registry.register("tokens")
@dataclass(frozen=True)
class Tokens(Codec):
    """Sequences of any length, each token stored by the codec `each`.

    Args:
        each: the codec of one token, e.g. `TopKCodec(32, classes=151_936)` or `Dense("fp16")`.
    """

    each: Codec
    name: ClassVar[str] = "tokens"

    def __post_init__(self) -> None:
        if not isinstance(self.each, Codec) or isinstance(self.each, Tokens):
            raise ValueError(f"each: expected a codec of single tokens, found {self.each!r}")

    @property
    def tensors(self) -> frozenset[str]:
        return frozenset({"hash", "tokens/offsets", *(f"tokens/{name}" for name in self.each.tensors)})

    def encode(self, signal: AnySignal) -> RowTable:
        if not isinstance(signal, TokenSignals):
            raise StoreError(f"codec tokens: expected TokenSignals, found {type(signal).__name__}")
        offsets = signal.lengths.long().cumsum(0)
        try:
            entries = self.each.encode(signal.signal)
        except SignalError as error:
            row = int(torch.searchsorted(offsets, error.row, right=True))
            place = error.row - int(offsets[row] - signal.lengths[row])
            raise SignalError(row, f"token {place}: {error.what}") from error
        total = int(offsets[-1]) if len(offsets) else 0
        if len(entries) != total or len(signal.hashes) != len(signal.lengths):
            raise StoreError(
                f"codec tokens: {len(entries)} tokens and {len(signal.hashes)} hashes do not fit {len(signal.lengths)} lengths "
                f"that add up to {total}"
            )
        return RowTable(
            {"hash": signal.hashes.to(torch.int64, copy=True)},
            {"tokens": RaggedColumn.from_lengths(signal.lengths.long(), entries)},
        )

    def decode(self, table: RowTable) -> TokenSignals:
        tokens = table.ragged["tokens"]
        return TokenSignals(self.each.decode(tokens.entries), tokens.lengths, table.columns["hash"])


def require_same_tokens(signals: Mapping[str, object], keys: Tensor, hashes: Tensor) -> None:
    """Refuse signals of texts that are tokenized differently now.

    Args:
        signals: by tap; those that are `TokenSignals` are compared.
        keys: sample keys of the rows, for the message.
        hashes: `token_hashes` of the current token ids, one for each row.

    Raises:
        StoreError: the token ids of a row are not those that the teacher read.
    """
    for tap, signal in signals.items():
        if isinstance(signal, TokenSignals):
            differs = signal.hashes.cpu() != hashes.cpu()
            if bool(differs.any()):
                raise StoreError(
                    f"tap {tap!r}: the store holds other tokens for sample {int(keys[int(differs.nonzero()[0])])} and "
                    f"{int(differs.sum()) - 1} more of this batch, because it was built with another tokenization. Use the "
                    "tokenizer, template and length that it was built with, or build it again"
                )
