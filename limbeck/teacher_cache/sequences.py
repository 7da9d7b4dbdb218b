"""Signals of token sequences: any number of tokens a sample, told apart by a hash of the token ids."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from limbeck.core.signals import AnySignal, Signal
from limbeck.teacher_cache.codecs import Codec, codecs
from limbeck.teacher_cache.errors import SignalError, StoreError
from limbeck.teacher_cache.row_table import Lists, Table

_MULTIPLIER = 0x9E3779B97F4A7C15 - 2**64  # odd, so that no power of it loses a bit; the golden ratio's digits


@dataclass(frozen=True)
class TokenSignals(Signal):
    """What a model says about each token of B sequences.

    `signal` holds all tokens one after the other on its first axis (a tensor [total, …] or `TopK` [total, k]), `lengths` [B]
    how many each sequence has, `hashes` int64 [B] what `token_hashes` says of their ids.
    """

    signal: AnySignal
    lengths: Tensor
    hashes: Tensor

    def to(self, device: torch.device | str) -> TokenSignals:
        signal = tuple(part.to(device) for part in self.signal) if isinstance(self.signal, tuple) else self.signal.to(device)
        return TokenSignals(signal, self.lengths.to(device), self.hashes.to(device))


def token_hashes(ids: Tensor, lengths: Tensor) -> Tensor:
    """One int64 per sequence that differs where the token ids, their order or their number differ.

    Args:
        ids: token ids of all sequences one after the other, [total].
        lengths: tokens of each sequence, [B].

    It tells a re-tokenised text from the text (a polynomial of the ids modulo 2^64); it is no defence against forgery.
    """
    lengths = lengths.long()
    longest = int(lengths.max()) if len(lengths) else 0
    powers = torch.full((longest + 1,), _MULTIPLIER, dtype=torch.int64, device=ids.device).cumprod(0)
    row = torch.repeat_interleave(torch.arange(len(lengths), device=ids.device), lengths)
    place = torch.arange(len(row), device=ids.device) - (lengths.cumsum(0) - lengths)[row]
    return powers[lengths].index_add(0, row, (ids.long() + 1) * powers[place])


@codecs.register("tokens")
@dataclass(frozen=True)
class Tokens(Codec):
    """Sequences of any length; every token is an item of `each`.

    Args:
        each: how one token is kept, e.g. `TopKCodec(32, classes=151_936)` or `Dense("fp16")`.
    """

    each: Codec
    name: ClassVar[str] = "tokens"

    def __post_init__(self) -> None:
        if not isinstance(self.each, Codec) or isinstance(self.each, Tokens):
            raise ValueError(f"each: expected a codec of single tokens, found {self.each!r}")

    @property
    def tensors(self) -> frozenset[str]:
        return frozenset({"hash", "tokens/offsets", *(f"tokens/{name}" for name in self.each.tensors)})

    def encode(self, signal: AnySignal) -> Table:
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
        return Table({"hash": signal.hashes.to(torch.int64, copy=True)}, {"tokens": Lists.of(signal.lengths.long(), entries)})

    def decode(self, table: Table) -> TokenSignals:
        lists = table.lists["tokens"]
        return TokenSignals(self.each.decode(lists.entries), lists.lengths, table.columns["hash"])


def require_same_tokens(signals: Mapping[str, object], keys: Tensor, hashes: Tensor) -> None:
    """Refuse signals of texts that are tokenised otherwise now.

    Args:
        signals: by tap; those that are `TokenSignals` are compared.
        keys: sample keys of the rows, for the message.
        hashes: `token_hashes` of the ids in hand, one per row.

    Raises:
        StoreError: a row's ids are not those that the teacher saw.
    """
    for tap, signal in signals.items():
        if isinstance(signal, TokenSignals):
            other = signal.hashes.cpu() != hashes.cpu()
            if bool(other.any()):
                raise StoreError(
                    f"tap {tap!r}: the store holds other tokens for sample {int(keys[int(other.nonzero()[0])])} and "
                    f"{int(other.sum()) - 1} more of this batch; the text was tokenised in another way then. Use the "
                    "tokenizer, template and length that the store was built with, or build it again"
                )
