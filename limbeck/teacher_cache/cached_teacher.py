"""A teacher whose answers are kept: read where they are known, asked for and kept where they are not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor

from limbeck.core.signals import AnySignal, Signal
from limbeck.teacher_cache import Journal, Reader, StoreError
from limbeck.teacher_cache.padding import Padding

Live = Callable[[Tensor | None], Mapping[str, AnySignal]]
"""Ask the teacher about these rows of the batch (None: all of them): `{tap: signal}`."""


class StoredAnswers:
    """What a frozen actor says about known samples in known views, by tap.

    Every answer comes out of the store, one that was just given too: so a run does not depend on which of them were there
    before it.

    Args:
        readers: by tap, a complete store, or a journal that takes up what it lacks.
        strict: refuse to ask the teacher; every answer must be there.
    """

    def __init__(self, readers: Mapping[str, Reader], *, strict: bool = False) -> None:
        self.readers, self.strict = dict(readers), strict

    def covers(self, taps: Iterable[str]) -> bool:
        """Whether answers at all these taps are kept; a stage that also listens elsewhere asks the teacher itself."""
        return all(tap in self.readers for tap in taps)

    def lookup(
        self, keys: Tensor, views: Tensor, taps: list[str], device: torch.device, live: Live, inputs: Any = None
    ) -> dict[str, AnySignal]:
        """The signals at `taps` of these samples (int64 [B]) in these views (int64 [B]), one row an item.

        Args:
            inputs: of the model; where they hold token sequences, answers come back padded as these are.

        Raises:
            StoreError: `strict`, and an answer is missing; or a text that is tokenised otherwise now. The sample is named.
        """
        keys, views = keys.cpu(), views.cpu()
        padding = Padding.of(inputs)
        hashes = None if padding is None else padding.hashes
        known = {tap: self.readers[tap].read(keys, views, [tap], device=device, hashes=hashes) for tap in taps}
        there = torch.stack([reading.found for reading in known.values()]).all(0)
        if bool(there.all()):
            return {tap: _padded(tap, reading.signals[tap], padding) for tap, reading in known.items()}
        self._refuse_if_strict(keys, views, there, taps)
        rows = (~there).nonzero()[:, 0]
        said = live(None if not bool(there.any()) else rows)
        fresh = said if padding is None else {tap: padding.rows(rows).pack(tap, said[tap]) for tap in taps}
        for tap in taps:
            reader = self.readers[tap]
            if isinstance(reader, Journal):
                reader.append(keys[~there], views[~there], {tap: fresh[tap]})
        return {tap: self._whole(tap, keys, views, device, there, fresh[tap], padding) for tap in taps}

    def _whole(
        self,
        tap: str,
        keys: Tensor,
        views: Tensor,
        device: torch.device,
        there: Tensor,
        fresh: AnySignal,
        padding: Padding | None,
    ) -> AnySignal:
        reader = self.readers[tap]
        reading = reader.read(keys, views, [tap], device=device)
        if bool(reading.found.all()):
            return _padded(tap, reading.signals[tap], padding)
        codec = reader.codecs[tap]  # a store that may not be written to: what it lacks goes through its codec all the same
        decoded = _padded(tap, codec.decode(codec.encode(fresh).to(device)), padding and padding.rows(~there))
        if not bool(there.any()):
            return decoded
        known = reader.read(keys[there], views[there], [tap], device=device).signals[tap]
        return merged(_padded(tap, known, padding and padding.rows(there)), decoded, there)

    def _refuse_if_strict(self, keys: Tensor, views: Tensor, there: Tensor, taps: list[str]) -> None:
        if self.strict:
            place = int((~there).nonzero()[0])
            raise StoreError(
                f"the store has no answer for sample {int(keys[place])} in view {int(views[place])} at {', '.join(taps)}, and "
                "strict is on; build it whole with `limbeck cache build`, or turn strict off to ask the teacher"
            )


def _padded(tap: str, signal: AnySignal, padding: Padding | None) -> AnySignal:
    return signal if padding is None else padding.unpack(tap, signal)


def merged(known: AnySignal, fresh: AnySignal, there: Tensor) -> AnySignal:
    """One signal from the rows that were there and those that were not."""
    if isinstance(known, Tensor) and isinstance(fresh, Tensor):
        whole = known.new_empty((len(there), *known.shape[1:]))
        whole[there.to(whole.device)] = known
        whole[~there.to(whole.device)] = fresh.to(whole.dtype)
        return whole
    if isinstance(known, Signal) and type(known) is type(fresh):
        parts: dict[str, Any] = {}
        for part in fields(known):
            parts[part.name] = merged(getattr(known, part.name), getattr(fresh, part.name), there)
        return type(known)(**parts)
    raise StoreError(f"answers of kinds {type(known).__name__} and {type(fresh).__name__} do not make one signal")
