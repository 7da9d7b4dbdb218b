"""Padded signals of token sequences, as models return them, and packed ones, as the cache stores them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from limbeck.core.model_io import LOGITS
from limbeck.core.signals import AnySignal, Signal
from limbeck.core.taps.attention_modules import MATRICES, STATES
from limbeck.core.taps.tap import Tap
from limbeck.teacher_cache.codecs.tokens import TokenSignals, token_hashes
from limbeck.teacher_cache.errors import StoreError


@dataclass(frozen=True)
class Padding:
    """The positions of a padded batch that hold tokens.

    Attributes:
        mask: bool [B, T], true where there is a token.
        hashes: int64 [B], `token_hashes` of the token ids.
    """

    mask: Tensor
    hashes: Tensor

    @classmethod
    def from_inputs(cls, inputs: Any) -> Padding | None:
        """Returns the padding of a model's inputs, or None if they are no token sequences."""
        if not isinstance(inputs, Mapping) or "input_ids" not in inputs:
            return None
        ids = inputs["input_ids"]
        mask = inputs["attention_mask"].bool() if "attention_mask" in inputs else torch.ones_like(ids, dtype=torch.bool)
        return cls(mask, token_hashes(ids[mask], mask.sum(1)))

    def rows(self, chosen: Tensor) -> Padding:
        """Returns the padding of some items of the batch; the width stays."""
        chosen = chosen.to(self.mask.device)
        return Padding(self.mask[chosen], self.hashes[chosen])

    def pack(self, tap: str, signal: AnySignal) -> AnySignal:
        """Removes the padding of a signal with one row for each token. Others (pooled, class logits) are returned unchanged.

        Raises:
            StoreError: the signal holds pairs of tokens.
        """
        if not isinstance(signal, Tensor) or not self._is_by_token(tap, signal):
            return signal
        if self._is_of_spans(tap, signal):
            by_token = signal.transpose(1, 2)[:, :, None]  # the axis between them marks span logits
        else:
            by_token = signal.transpose(1, 2) if Tap.parse(tap).of in STATES else signal
        mask = self.mask.to(signal.device)
        return TokenSignals(by_token[mask], mask.sum(1), self.hashes.to(signal.device))

    def unpack(self, tap: str, signal: AnySignal) -> AnySignal:
        """Restores the padded shape of a signal from `pack`, with zeros as padding."""
        if not isinstance(signal, TokenSignals):
            return signal
        padded = _map_tensors(signal.signal, self._scatter)
        if tap == LOGITS and isinstance(padded, Tensor) and padded.ndim == 4:  # span logits
            return padded[:, :, 0].transpose(1, 2)
        heads_first = Tap.parse(tap).of in STATES
        return _map_tensors(padded, lambda part: part.transpose(1, 2)) if heads_first else padded

    def _scatter(self, values: Tensor) -> Tensor:
        mask = self.mask.to(values.device)
        padded = values.new_zeros((*mask.shape, *values.shape[1:]))
        padded[mask] = values
        return padded

    def _is_by_token(self, tap: str, signal: Tensor) -> bool:
        kind, tokens = Tap.parse(tap).of, self.mask.shape[1]
        if kind in MATRICES:
            raise StoreError(
                f"tap {tap!r}: signals of pairs of tokens are not cached, they would need more space than the model. Cache the "
                "queries and keys that they are made of, or run the teacher at every step (cache: off)"
            )
        return kind in STATES or (signal.ndim >= 3 and signal.shape[1] == tokens) or self._is_of_spans(tap, signal)

    def _is_of_spans(self, tap: str, signal: Tensor) -> bool:
        """Whether these are the logits of first and last tokens, [B, 2, T]."""
        tokens = self.mask.shape[1]
        return tap == LOGITS and signal.ndim == 3 and signal.shape[1] == 2 and signal.shape[2] == tokens != 2


def _map_tensors(signal: AnySignal, change: Callable[[Tensor], Tensor]) -> AnySignal:
    if isinstance(signal, tuple):
        return tuple(change(part) for part in signal)
    return signal.each(change) if isinstance(signal, Signal) else change(signal)
