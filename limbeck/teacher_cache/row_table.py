"""Encoded signals as rows: columns that hold one entry a row, and lists that hold any number of entries a row.

A table becomes plain tensors and back. A list `name` is written as `name/offsets` [N + 1] (entries of row i stand at
offsets[i] to offsets[i + 1]) and, under `name/`, the table of its entries, which may hold lists of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

OFFSETS = "offsets"


@dataclass(frozen=True)
class Lists:
    """Entries of all rows one after the other, and where each row's begin: `offsets` [N + 1]."""

    offsets: Tensor
    entries: Table

    @classmethod
    def of(cls, lengths: Tensor, entries: Table) -> Lists:
        return cls(_ends(lengths), entries)

    @property
    def lengths(self) -> Tensor:
        return self.offsets.diff()

    def consistent(self) -> bool:
        if not self.entries.consistent() or self.offsets.is_floating_point():
            return False
        return int(self.offsets[0]) == 0 and int(self.offsets[-1]) == len(self.entries) and bool((self.lengths >= 0).all())

    def take(self, rows: Tensor) -> Lists:
        starts = self.offsets[rows].long()
        offsets = _ends(self.offsets[rows + 1].long() - starts)
        shift = torch.repeat_interleave(starts - offsets[:-1], offsets.diff())
        return Lists(offsets, self.entries.take(torch.arange(len(shift)) + shift))


@dataclass(frozen=True)
class Table:
    """N rows; every column has N entries on its first axis."""

    columns: Mapping[str, Tensor] = field(default_factory=dict)
    lists: Mapping[str, Lists] = field(default_factory=dict)

    def __len__(self) -> int:
        for column in self.columns.values():
            return len(column)
        return len(next(iter(self.lists.values())).offsets) - 1

    def consistent(self) -> bool:
        """Whether all columns have as many rows, and all lists lie within their entries, in order."""
        lists = [part for part in self.lists.values() if part.offsets.ndim == 1 and len(part.offsets)]
        if len(lists) < len(self.lists) or any(column.ndim == 0 for column in self.columns.values()):
            return False
        rows = {len(column) for column in self.columns.values()} | {len(part.offsets) - 1 for part in lists}
        return len(rows) == 1 and all(part.consistent() for part in lists)

    def take(self, rows: Tensor) -> Table:
        """The rows at these places, copied."""
        columns = {name: column[rows] for name, column in self.columns.items()}
        return Table(columns, {name: lists.take(rows) for name, lists in self.lists.items()})

    def to(self, device: torch.device | str) -> Table:
        columns = {name: column.to(device) for name, column in self.columns.items()}
        lists = {name: Lists(part.offsets.to(device), part.entries.to(device)) for name, part in self.lists.items()}
        return Table(columns, lists)

    def tensors(self, prefix: str = "") -> dict[str, Tensor]:
        """The table as plain tensors by name."""
        found = {prefix + name: column for name, column in self.columns.items()}
        for name, part in self.lists.items():
            if int(part.offsets[-1]) >= 2**31:
                raise ValueError(f"{prefix}{name}: {int(part.offsets[-1]):,} entries in one shard; use fewer rows per shard")
            found[f"{prefix}{name}/{OFFSETS}"] = part.offsets.to(torch.int32)
            found.update(part.entries.tensors(f"{prefix}{name}/"))
        return found

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor]) -> Table:
        """The table that `tensors` made these of."""
        columns = {name: tensor for name, tensor in tensors.items() if "/" not in name}
        groups: dict[str, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            if "/" in name:
                group, rest = name.split("/", 1)
                groups.setdefault(group, {})[rest] = tensor
        lists = {name: Lists(group.pop(OFFSETS), cls.of(group)) for name, group in groups.items()}
        return cls(columns, lists)


def concat(tables: Sequence[Table]) -> Table:
    """The rows of several tables, one after the other."""
    first = tables[0]
    if len(tables) == 1:
        return first
    columns = {name: torch.cat([table.columns[name] for table in tables]) for name in first.columns}
    return Table(columns, {name: _concat_lists([table.lists[name] for table in tables]) for name in first.lists})


def _concat_lists(parts: Sequence[Lists]) -> Lists:
    return Lists.of(torch.cat([part.lengths for part in parts]), concat([part.entries for part in parts]))


def _ends(lengths: Tensor) -> Tensor:
    """Offsets [N + 1] from lengths [N]."""
    offsets = torch.zeros(len(lengths) + 1, dtype=torch.int64, device=lengths.device)
    torch.cumsum(lengths, 0, out=offsets[1:])
    return offsets
