"""A frozen teacher whose outputs come from the cache; those that are missing are computed and added."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from limbeck.core.signals import AnySignal, Signal
from limbeck.teacher_cache.errors import StoreError
from limbeck.teacher_cache.padding import Padding
from limbeck.teacher_cache.store.incremental import IncrementalStore
from limbeck.teacher_cache.store.reader import StoreReader

RunTeacher = Callable[[Tensor | None], Mapping[str, AnySignal]]
"""Runs the teacher on these rows of the batch (None: all of them) and returns its signals by tap."""


@dataclass(frozen=True)
class _Batch:
    """The items of one lookup; `padding` is None if they are no token sequences."""

    keys: Tensor
    views: Tensor
    padding: Padding | None
    device: torch.device

    def rows(self, chosen: Tensor) -> _Batch:
        padding = None if self.padding is None else self.padding.rows(chosen)
        return _Batch(self.keys[chosen], self.views[chosen], padding, self.device)

    def pad(self, tap: str, signal: AnySignal) -> AnySignal:
        return signal if self.padding is None else self.padding.unpack(tap, signal)


class CachedTeacher:
    """Signals of a frozen teacher for known samples in known views, by tap.

    All signals are read from the store, also those that were just computed, so that a run does not depend on which of them
    the cache held before.

    Args:
        readers: for each tap, a complete store, or an incremental one that takes what is missing.
        strict: never run the teacher; all signals must be in the cache.
        one_view: whether the views leave the teacher's inputs as they are; view 0 stands for all of them.

    Attributes:
        completed: items that the teacher was run on after the training, so that the cache is complete.
    """

    completed = 0

    def __init__(self, readers: Mapping[str, StoreReader], *, strict: bool = False, one_view: bool = False) -> None:
        self.readers, self.strict, self.one_view = dict(readers), strict, one_view

    def covers(self, taps: Iterable[str]) -> bool:
        """Whether all these taps are cached. For a stage that reads others too, the teacher runs at every step."""
        return all(tap in self.readers for tap in taps)

    def flush(self) -> None:
        """Write the rows that are only in memory."""
        for reader in self.readers.values():
            if isinstance(reader, IncrementalStore):
                reader.flush()

    def lookup(
        self, keys: Tensor, views: Tensor, taps: list[str], device: torch.device, run_teacher: RunTeacher, inputs: Any = None
    ) -> dict[str, AnySignal]:
        """Returns the signals at `taps` of these samples in these views, one row for each item.

        Args:
            keys: sample keys, int64 [B].
            views: view numbers, int64 [B].
            taps: the taps to read.
            device: where the signals are returned.
            run_teacher: computes what is missing.
            inputs: of the teacher; if they hold token sequences, signals are padded like them.

        Raises:
            StoreError: signals are missing and the cache is strict; or a text is tokenized differently now.
        """
        batch = _Batch(keys.cpu(), views.cpu(), Padding.from_inputs(inputs), device)
        hashes = None if batch.padding is None else batch.padding.hashes
        results = {tap: self.readers[tap].read(batch.keys, batch.views, [tap], device=device, hashes=hashes) for tap in taps}
        cached = torch.stack([result.found for result in results.values()]).all(0)
        if bool(cached.all()):
            return {tap: batch.pad(tap, result.signals[tap]) for tap, result in results.items()}
        if self.strict:
            raise _missing_error(batch, cached, taps)
        rows = (~cached).nonzero()[:, 0]
        missing = batch.rows(rows)
        outputs = run_teacher(None if not bool(cached.any()) else rows)
        computed = {tap: outputs[tap] if missing.padding is None else missing.padding.pack(tap, outputs[tap]) for tap in taps}
        for tap in taps:
            reader = self.readers[tap]
            if isinstance(reader, IncrementalStore) and not reader.read_only:
                reader.append(missing.keys, missing.views, {tap: computed[tap]})
        return {tap: self._read_back(tap, batch, cached, computed[tap]) for tap in taps}

    def _read_back(self, tap: str, batch: _Batch, cached: Tensor, computed: AnySignal) -> AnySignal:
        """Returns the signal of the whole batch; `computed` holds the rows that were not `cached`."""
        reader = self.readers[tap]
        result = reader.read(batch.keys, batch.views, [tap], device=batch.device)
        if bool(result.found.all()):
            return batch.pad(tap, result.signals[tap])
        codec = reader.codecs[tap]  # this store is read-only here; the rows go through its codec all the same
        decoded = batch.rows(~cached).pad(tap, codec.decode(codec.encode(computed).to(batch.device)))
        if not bool(cached.any()):
            return decoded
        known = batch.rows(cached)
        signal = reader.read(known.keys, known.views, [tap], device=batch.device).signals[tap]
        return merge_rows(known.pad(tap, signal), decoded, cached)


def _missing_error(batch: _Batch, cached: Tensor, taps: list[str]) -> StoreError:
    row = int((~cached).nonzero()[0])
    return StoreError(
        f"the cache has no outputs for sample {int(batch.keys[row])} in view {int(batch.views[row])} at {', '.join(taps)}, and "
        "strict is on; fill it with `limbeck cache build`, or turn strict off so that the teacher computes what is missing"
    )


def merge_rows(first: AnySignal, second: AnySignal, is_first: Tensor) -> AnySignal:
    """Returns one signal whose rows come from `first` where `is_first` (bool [B]) is true, and from `second` elsewhere.

    Raises:
        StoreError: the signals are of different kinds.
    """
    if isinstance(first, Tensor) and isinstance(second, Tensor):
        merged = first.new_empty((len(is_first), *first.shape[1:]))
        merged[is_first.to(merged.device)] = first
        merged[~is_first.to(merged.device)] = second.to(merged.dtype)
        return merged
    if isinstance(first, Signal) and type(first) is type(second):
        parts: dict[str, Any] = {}
        for part in fields(first):
            parts[part.name] = merge_rows(getattr(first, part.name), getattr(second, part.name), is_first)
        return type(first)(**parts)
    raise StoreError(f"signals of kinds {type(first).__name__} and {type(second).__name__} cannot be merged")
