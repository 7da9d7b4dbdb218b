"""Outputs of a frozen actor in memory, for runs that see few items many times."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor


class MemoryCache:
    """Dense signals of a frozen actor by sample key and view number, each computed once: `frozen(model, cache=MemoryCache())`.

    The source must repeat its views, as `Dataset(items, view_count=1)` does. Unlike `CachedTeacher` nothing is written, so it
    suits teachers that exist for one round of a federation.
    """

    one_view = False  # a view of its own for each number

    def __init__(self) -> None:
        self._rows: dict[tuple[int, int], int] = {}  # of the tables, by key and view
        self._tables: dict[str, Tensor] = {}  # by tap, with room for more rows

    @classmethod
    def of(cls, keys: Tensor, signals: Tensor, tap: str = "logits") -> MemoryCache:
        """A cache that holds these signals `[N, …]` of the items with these keys `[N]`, in view 0.

        Raises:
            ValueError: there are not as many keys as signals.
        """
        if len(keys) != len(signals):
            raise ValueError(f"MemoryCache: {len(keys)} keys and {len(signals)} signals; expected one for each item")
        cache = cls()
        cache._rows = {(key, 0): row for row, key in enumerate(keys.tolist())}
        cache._tables = {tap: signals.detach().cpu()}
        return cache

    def covers(self, taps: Iterable[str]) -> bool:
        """Whether nothing else than these taps is asked for: all signals of an item are computed together."""
        return not self._tables or set(taps) <= set(self._tables)

    def flush(self) -> None:
        """Nothing is written."""

    def lookup(
        self,
        keys: Tensor,
        views: Tensor,
        taps: list[str],
        device: torch.device,
        compute: Callable[[Tensor | None], Any],
        inputs: Any = None,
    ) -> Mapping[str, Any]:
        """The signals by tap, one row for each item; the model runs on those that are new.

        Raises:
            ValueError: a signal that is not dense.
        """
        wanted = list(zip(keys.tolist(), views.tolist(), strict=True))
        known = self._rows
        new = list({item: position for position, item in enumerate(wanted) if item not in known}.values())  # equal items once
        if new:
            self._add([wanted[position] for position in new], taps, compute(torch.tensor(new)))
        rows = torch.tensor([known[item] for item in wanted])
        return {tap: self._tables[tap][rows].to(device) for tap in taps}

    def _add(self, items: list[tuple[int, int]], taps: list[str], signals: Any) -> None:
        first = len(self._rows)
        for tap in taps:
            signal = signals[tap]
            if not isinstance(signal, Tensor):
                raise ValueError(f"MemoryCache: {tap} gives {type(signal).__name__}; it holds dense signals only")
            table = self._tables.get(tap, signal.new_empty(0, *signal.shape[1:]).cpu())
            if len(table) < first + len(items):  # twice the room, so that rows are copied a few times at most
                table = torch.cat([table, table.new_empty(max(len(table), len(items)), *table.shape[1:])])
            self._tables[tap] = table
            table[first : first + len(items)] = signal.detach().cpu()
        self._rows |= {item: first + offset for offset, item in enumerate(items)}
