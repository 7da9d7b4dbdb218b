"""`FieldStorage`: items of several named fields, such as a sound and an image of one thing, of which each actor reads one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from limbeck.data.content_keys import as_keys, content_key
from limbeck.data.image.transform import to_float
from limbeck.data.items import Items, input_for_actor
from limbeck.data.storage import Storage


class FieldStorage(Storage):
    """Inputs by the name of a field, and which field each actor reads.

    `fetch` returns a mapping by the names of the actors, so that a run calls each of them with its own field.

    Args:
        fields: items of each field, row by row of the same things.
        reads: the field that an actor reads, by the name of the actor.

    Raises:
        ValueError: fields of different lengths; an actor that reads none of them.
    """

    def __init__(self, fields: Mapping[str, Items], reads: Mapping[str, str]) -> None:
        self.fields, self.reads = dict(fields), dict(reads)
        sizes = {name: len(items) for name, items in self.fields.items()}
        if len(set(sizes.values())) != 1:
            raise ValueError(f"fields: expected as many items in each, found {sizes}")
        for actor, field in self.reads.items():
            if field not in self.fields:
                raise ValueError(f"{actor} reads {field!r}, which is none of the fields {', '.join(self.fields)}")

    @property
    def input_names(self) -> tuple[str, ...]:
        return tuple(self.reads)

    def select_input(self, name: str) -> Items:
        return self.fields[self.reads[name]]

    def identity(self) -> str:
        """Hash of everything that the teacher's field depends on, besides its content."""
        read = self.select_input(input_for_actor("teacher", self.input_names) or "teacher")
        first = read.fetch(torch.tensor([0]))
        kept = getattr(read.storage, "identity", None)
        return f"{self.reads['teacher']} {kept() if kept is not None else list(first.shape[1:])}"

    def __len__(self) -> int:
        return len(next(iter(self.fields.values())))

    def fetch(self, rows: Tensor, workers: int = 0) -> dict[str, Any]:
        fetched = {name: _as_model_reads(items, items.fetch(rows, workers)) for name, items in self.fields.items()}
        return {actor: fetched[field] for actor, field in self.reads.items()}

    def select(self, rows: Tensor) -> FieldStorage:
        return FieldStorage({name: items.select(rows) for name, items in self.fields.items()}, self.reads)


def field_items(fields: Mapping[str, Items], reads: Mapping[str, str]) -> Items:
    """Items of several fields. Their keys are hashes of the keys of all fields; labels are those of the first."""
    first = next(iter(fields.values()))
    rows = zip(*(items.keys.tolist() for items in fields.values()), strict=True)
    keys = as_keys(content_key(*(key.to_bytes(8, "little", signed=True) for key in row)) for row in rows)
    return Items(FieldStorage(fields, reads), keys, first.target, first.classes, first.class_names)


def _as_model_reads(items: Items, inputs: Any) -> Any:
    """Images in [0, 1], everything else unchanged."""
    return to_float(inputs) if items.images else inputs
