"""Encoded signals as rows: columns with one entry for each row, and ragged columns with any number of entries for each row.

A table is converted to plain tensors and back. A ragged column `name` is written as `name/offsets` [N + 1] (the entries of row
i are offsets[i] to offsets[i + 1]) and, under `name/`, the table of its entries, which may have ragged columns of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

OFFSETS = "offsets"


@dataclass(frozen=True)
class RaggedColumn:
    """The entries of all rows one after the other; those of row i are offsets[i] to offsets[i + 1], `offsets` [N + 1]."""

    offsets: Tensor
    entries: RowTable

    @classmethod
    def from_lengths(cls, lengths: Tensor, entries: RowTable) -> RaggedColumn:
        """Builds the column from the number of entries of each row [N]."""
        return cls(_offsets(lengths), entries)

    @property
    def lengths(self) -> Tensor:
        """The number of entries of each row [N]."""
        return self.offsets.diff()

    def is_consistent(self) -> bool:
        """Whether the offsets rise from 0 to the number of entries."""
        if not self.entries.is_consistent() or self.offsets.is_floating_point():
            return False
        return int(self.offsets[0]) == 0 and int(self.offsets[-1]) == len(self.entries) and bool((self.lengths >= 0).all())

    def take(self, rows: Tensor) -> RaggedColumn:
        """Returns the rows at these positions, copied."""
        starts = self.offsets[rows].long()
        offsets = _offsets(self.offsets[rows + 1].long() - starts)
        shift = torch.repeat_interleave(starts - offsets[:-1], offsets.diff())
        return RaggedColumn(offsets, self.entries.take(torch.arange(len(shift)) + shift))


@dataclass(frozen=True)
class RowTable:
    """N rows; the first axis of every column has N entries."""

    columns: Mapping[str, Tensor] = field(default_factory=dict)
    ragged: Mapping[str, RaggedColumn] = field(default_factory=dict)

    def __len__(self) -> int:
        for column in self.columns.values():
            return len(column)
        return len(next(iter(self.ragged.values())).offsets) - 1

    def is_consistent(self) -> bool:
        """Whether all columns have the same number of rows, and all ragged columns are consistent."""
        ragged = [column for column in self.ragged.values() if column.offsets.ndim == 1 and len(column.offsets)]
        if len(ragged) < len(self.ragged) or any(column.ndim == 0 for column in self.columns.values()):
            return False
        rows = {len(column) for column in self.columns.values()} | {len(column.offsets) - 1 for column in ragged}
        return len(rows) == 1 and all(column.is_consistent() for column in ragged)

    def take(self, rows: Tensor) -> RowTable:
        """Returns the rows at these positions, copied."""
        columns = {name: column[rows] for name, column in self.columns.items()}
        return RowTable(columns, {name: column.take(rows) for name, column in self.ragged.items()})

    def to(self, device: torch.device | str) -> RowTable:
        """Returns the table on another device."""
        columns = {name: column.to(device) for name, column in self.columns.items()}
        ragged = {name: RaggedColumn(part.offsets.to(device), part.entries.to(device)) for name, part in self.ragged.items()}
        return RowTable(columns, ragged)

    def tensors(self, prefix: str = "") -> dict[str, Tensor]:
        """Returns the table as plain tensors by name.

        Raises:
            ValueError: a ragged column has 2^31 entries or more.
        """
        found = {prefix + name: column for name, column in self.columns.items()}
        for name, part in self.ragged.items():
            if int(part.offsets[-1]) >= 2**31:
                raise ValueError(f"{prefix}{name}: {int(part.offsets[-1]):,} entries in one shard; use fewer rows per shard")
            found[f"{prefix}{name}/{OFFSETS}"] = part.offsets.to(torch.int32)
            found.update(part.entries.tensors(f"{prefix}{name}/"))
        return found

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> RowTable:
        """Rebuilds a table from the result of its method `tensors`."""
        columns = {name: tensor for name, tensor in tensors.items() if "/" not in name}
        groups: dict[str, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            if "/" in name:
                group, rest = name.split("/", 1)
                groups.setdefault(group, {})[rest] = tensor
        ragged = {name: RaggedColumn(group.pop(OFFSETS), cls.from_tensors(group)) for name, group in groups.items()}
        return cls(columns, ragged)


def concat_tables(tables: Sequence[RowTable]) -> RowTable:
    """Returns the rows of several tables, one after the other."""
    first = tables[0]
    if len(tables) == 1:
        return first
    columns = {name: torch.cat([table.columns[name] for table in tables]) for name in first.columns}
    return RowTable(columns, {name: _concat_ragged([table.ragged[name] for table in tables]) for name in first.ragged})


def _concat_ragged(parts: Sequence[RaggedColumn]) -> RaggedColumn:
    return RaggedColumn.from_lengths(
        torch.cat([part.lengths for part in parts]), concat_tables([part.entries for part in parts])
    )


def _offsets(lengths: Tensor) -> Tensor:
    """Returns offsets [N + 1] from lengths [N]."""
    offsets = torch.zeros(len(lengths) + 1, dtype=torch.int64, device=lengths.device)
    torch.cumsum(lengths, 0, out=offsets[1:])
    return offsets
