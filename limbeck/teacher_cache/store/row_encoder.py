"""Encodes the signals of a batch as rows, and refuses those that a store cannot hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from limbeck.core.signals import AnySignal
from limbeck.teacher_cache.codecs import Codec
from limbeck.teacher_cache.codecs.row_table import RowTable
from limbeck.teacher_cache.errors import SignalError, StoreError
from limbeck.teacher_cache.store.row_group import tensors_of

Describe = Callable[[int], str]
"""Returns how messages name the sample with this key."""
Shapes = dict[str, tuple[torch.dtype, tuple[int, ...]]]
"""Data type and shape of an item, by `TAP//NAME`."""


class RowEncoder:
    """Encodes signals with one codec for each tap.

    Args:
        codecs: by tap.
        describe: names a sample in messages.
        stored_shapes: returns the shapes that the store holds already, empty if it holds none; called once.
    """

    def __init__(self, codecs: Mapping[str, Codec], describe: Describe, stored_shapes: Callable[[], Shapes]) -> None:
        self.codecs, self.describe = codecs, describe
        self._stored_shapes = stored_shapes
        self._shapes: Shapes = {}

    def encode(self, signals: Mapping[str, AnySignal], keys: Tensor, views: Tensor) -> dict[str, RowTable]:
        """Returns the signals of these samples as rows on the CPU; there may be fewer rows than samples, the same for each tap.

        Raises:
            StoreError: a signal that cannot be stored, with tap, sample and view; other taps or shapes than the store's.
        """
        if set(signals) != set(self.codecs):
            raise StoreError(f"signals: expected taps {', '.join(sorted(self.codecs))}, found {', '.join(sorted(signals))}")
        tables = {}
        for tap, codec in self.codecs.items():
            try:
                tables[tap] = codec.encode(signals[tap]).to("cpu")
            except SignalError as error:
                raise self._describe_error(error, tap, keys, views) from error
        rows = {tap: len(table) for tap, table in tables.items()}
        if len(set(rows.values())) != 1 or max(rows.values()) > len(keys):
            raise StoreError(f"signals: expected up to {len(keys)} rows, the same number for each tap, found {rows}")
        self._require_same_shapes(tables)
        return tables

    def _describe_error(self, error: SignalError, tap: str, keys: Tensor, views: Tensor) -> StoreError:
        if error.row >= len(keys):
            return StoreError(f"tap {tap!r}, row {error.row} of {len(keys)}: {error.what}")
        sample, view = self.describe(int(keys[error.row])), int(views[error.row])
        return StoreError(
            f"tap {tap!r}, sample {sample}, view {view}: {error.what}; nothing was stored for it. Look at this sample "
            "and at the teacher's precision (float16 overflows at 65,504), or leave the sample out"
        )

    def _require_same_shapes(self, tables: Mapping[str, RowTable]) -> None:
        """All signals of a tap must have the shape of those in the store."""
        found = {name: (tensor.dtype, tuple(tensor.shape[1:])) for name, tensor in tensors_of(tables).items()}
        if not self._shapes:
            self._shapes = self._stored_shapes() or found
        for name, shape in found.items():
            if self._shapes[name] != shape:
                (old_type, old), (new_type, new) = self._shapes[name], shape
                raise StoreError(
                    f"{name}: {new_type} {list(new)} per item, where this store holds {old_type} {list(old)}; "
                    "the signals of a tap must have one shape"
                )
