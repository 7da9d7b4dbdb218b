"""`ItemMemory`: a bounded number of items, kept as tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor

from limbeck.core.batch import Batch, first_tensor

KEEP = ("newest", "random")


class ItemMemory:
    """Items of batches: the newest ones, or a uniform sample of all that were ever added.

    The sample is drawn by reservoir sampling: item n (from 0) goes to a random one of n + 1 places, and is dropped if that is
    none of the memory's.

    Args:
        size: the most items.
        keep: `newest` or `random`.

    Attributes:
        seen: items that were ever added.

    Source: Vitter 1985, Random sampling with a reservoir (algorithm R).
    """

    def __init__(self, size: int, keep: str) -> None:
        self.size, self.keep, self.seen = size, keep, 0
        self._columns: dict[str, Any] | None = None  # a row for each place

    def __len__(self) -> int:
        return min(self.seen, self.size)

    def add(self, items: Batch, generator: torch.Generator) -> None:
        """Adds the items of a batch.

        Args:
            generator: of the random places; two of the same seed keep the same items.

        Raises:
            ValueError: items of another shape than those before.
        """
        new = columns_of(items)
        if self._columns is None:
            self._columns = _map(new, lambda tensor: tensor.new_zeros(self.size, *tensor.shape[1:]))
        refuse_other_shapes(self._columns, new)
        places: dict[int, int] = {}  # place → row of the batch; the last item of a place stays
        draws = torch.rand(items.size, generator=generator, dtype=torch.float64).tolist()
        for row, draw in enumerate(draws):
            number = self.seen + row
            place = int(draw * (number + 1)) if self.keep == "random" and number >= self.size else number % self.size
            if place < self.size:
                places[place] = row
        self.seen += items.size
        to, of = torch.tensor(list(places), dtype=torch.long), torch.tensor(list(places.values()), dtype=torch.long)
        _write(self._columns, to, new, of)

    def rows(self, rows: Tensor) -> Batch:
        """The items in these places."""
        return Batch(**_map(self._columns, lambda tensor: tensor[rows.to(tensor.device)]))

    def state_dict(self) -> dict[str, Any]:
        kept = {} if self._columns is None else {"columns": _map(self._columns, lambda tensor: tensor[: len(self)])}
        return {"seen": self.seen, **kept}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.seen, self._columns = state["seen"], None
        if "columns" in state:
            self._columns = _map(state["columns"], lambda tensor: tensor.new_zeros(self.size, *tensor.shape[1:]))
            every = torch.arange(len(self))
            _write(self._columns, every, state["columns"], every)


def columns_of(batch: Batch) -> dict[str, Any]:
    """The fields of a batch that hold something; without `mask`, which is among the positions that are `counted`."""
    columns = {field.name: getattr(batch, field.name) for field in fields(batch) if field.name != "mask"}
    return {name: value for name, value in columns.items() if isinstance(value, Tensor) or value}


def concatenate(first: Batch, second: Batch) -> Batch:
    """The items of two batches as one, on the device of the first.

    Raises:
        ValueError: their items differ in shape.
    """
    ours, theirs = columns_of(first), columns_of(second)
    refuse_other_shapes(ours, theirs)
    return Batch(**_map(ours, lambda a, b: torch.cat([a, b.to(a.device)]), theirs))


def refuse_other_shapes(kept: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Raises a `ValueError` if items of two sets of columns cannot be one batch."""
    for name in {*kept, *new}:
        ours, theirs = kept.get(name), new.get(name)
        if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
            refuse_other_shapes(ours, theirs)
            continue
        shapes = [None if one is None else list(first_tensor(one).shape[1:]) for one in (ours, theirs)]
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"pool: {name} of an item has shape {shapes[0]} in the memory and {shapes[1]} in a new batch; items of one "
                "pool must be of one shape (own_samples keeps texts of any length by its argument keep)"
            )


def _map(value: Any, change: Callable[..., Tensor], *others: Any) -> Any:
    """Nested mappings with `change` applied to every tensor, and to those at the same place in `others`."""
    if isinstance(value, Mapping):
        return {name: _map(part, change, *(other[name] for other in others)) for name, part in value.items()}
    return change(value, *others)


def _write(columns: Mapping[str, Any], to: Tensor, new: Mapping[str, Any], of: Tensor) -> None:
    """Copies rows `of` of the new columns to the rows `to`."""
    for name, column in columns.items():
        if isinstance(column, Mapping):
            _write(column, to, new[name], of)
        else:
            column[to.to(column.device)] = new[name][of.to(new[name].device)].to(column.device, column.dtype)
