"""Answers about token sequences: padded as models give them, packed as a store keeps them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from limbeck.core.model_io import LOGITS
from limbeck.core.signals import AnySignal, Signal
from limbeck.core.taps.encoder_layout import MATRICES, STATES
from limbeck.core.taps.tap import Tap
from limbeck.teacher_cache import StoreError, TokenSignals, token_hashes


@dataclass(frozen=True)
class Padding:
    """Which places of a padded batch hold tokens: `mask` bool [B, T], and `hashes` int64 [B] of the token ids there."""

    mask: Tensor
    hashes: Tensor

    @classmethod
    def of(cls, inputs: Any) -> Padding | None:
        """That of a model's inputs; None where they are no token sequences."""
        if not isinstance(inputs, Mapping) or "input_ids" not in inputs:
            return None
        ids = inputs["input_ids"]
        mask = inputs["attention_mask"].bool() if "attention_mask" in inputs else torch.ones_like(ids, dtype=torch.bool)
        return cls(mask, token_hashes(ids[mask], mask.sum(1)))

    def rows(self, chosen: Tensor) -> Padding:
        """That of some items of the batch, as wide as the batch."""
        chosen = chosen.to(self.mask.device)
        return Padding(self.mask[chosen], self.hashes[chosen])

    def pack(self, tap: str, signal: AnySignal) -> AnySignal:
        """The signal without its padding, where it has one row a token; others (pooled, class logits) as they are.

        Raises:
            StoreError: a signal of pairs of tokens.
        """
        if not isinstance(signal, Tensor) or not self._is_by_token(tap, signal):
            return signal
        if self._is_of_spans(tap, signal):
            by_token = signal.transpose(1, 2)[:, :, None]  # the axis in between tells them from the logits of tokens
        else:
            by_token = signal.transpose(1, 2) if Tap.parse(tap).of in STATES else signal
        mask = self.mask.to(signal.device)
        return TokenSignals(by_token[mask], mask.sum(1), self.hashes.to(signal.device))

    def unpack(self, tap: str, signal: AnySignal) -> AnySignal:
        """What `pack` made, with zeros where the batch is padded."""
        if not isinstance(signal, TokenSignals):
            return signal
        padded = _each(signal.signal, self._placed)
        if tap == LOGITS and isinstance(padded, Tensor) and padded.ndim == 4:  # of spans
            return padded[:, :, 0].transpose(1, 2)
        heads_first = Tap.parse(tap).of in STATES
        return _each(padded, lambda part: part.transpose(1, 2)) if heads_first else padded

    def _placed(self, values: Tensor) -> Tensor:
        mask = self.mask.to(values.device)
        padded = values.new_zeros((*mask.shape, *values.shape[1:]))
        padded[mask] = values
        return padded

    def _is_by_token(self, tap: str, signal: Tensor) -> bool:
        kind, tokens = Tap.parse(tap).of, self.mask.shape[1]
        if kind in MATRICES:
            raise StoreError(
                f"tap {tap!r}: pairs of tokens are not kept, they would take more room than the model. Keep the queries and "
                "keys they are made of, or ask the teacher at every step (cache: off)"
            )
        return kind in STATES or (signal.ndim >= 3 and signal.shape[1] == tokens) or self._is_of_spans(tap, signal)

    def _is_of_spans(self, tap: str, signal: Tensor) -> bool:
        """Logits of first and last tokens, [B, 2, T]."""
        tokens = self.mask.shape[1]
        return tap == LOGITS and signal.ndim == 3 and signal.shape[1] == 2 and signal.shape[2] == tokens != 2


def _each(signal: AnySignal, change: Callable[[Tensor], Tensor]) -> AnySignal:
    if isinstance(signal, tuple):
        return tuple(change(part) for part in signal)
    return signal.each(change) if isinstance(signal, Signal) else change(signal)
