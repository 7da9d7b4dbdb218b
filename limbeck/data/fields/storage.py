"""`FieldStorage`: items of several named fields, such as a sound and an image of one thing, of which each actor reads one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from limbeck.data.content_keys import as_keys, content_key
from limbeck.data.fields.modality import Modality
from limbeck.data.image.transform import to_float
from limbeck.data.items import Items
from limbeck.data.storage import Storage, TensorStorage, input_for_actor


class FieldStorage(Storage):
    """Inputs by the name of a field, and which field each actor reads.

    `fetch` returns a mapping by the names of the fields, and of the actors that read one, so that a run calls each of them
    with its own. Further actors name their field: `trained(model, reads="wave")`.

    Args:
        fields: items of each field, row by row of the same things.
        reads: the field that an actor reads, by the name of the actor.
        modalities: of the fields, which collate them; None: images are converted to [0, 1], everything else is unchanged.

    Raises:
        ValueError: fields of different lengths; an actor that reads none of them, or has the name of another field.
    """

    shares_labels = True

    def __init__(
        self, fields: Mapping[str, Items], reads: Mapping[str, str], modalities: Mapping[str, Modality] | None = None
    ) -> None:
        self.fields, self.reads, self.modalities = dict(fields), dict(reads), dict(modalities or {})
        sizes = {name: len(items) for name, items in self.fields.items()}
        if len(set(sizes.values())) != 1:
            raise ValueError(f"fields: expected as many items in each, found {sizes}")
        for actor, field in self.reads.items():
            if field not in self.fields:
                raise ValueError(f"{actor} reads {field!r}, which is none of the fields {', '.join(self.fields)}")
            if actor in self.fields and actor != field:
                raise ValueError(f"fields: {actor!r} is the name of an actor that reads {field!r}; name the field differently")
        lengths = [items.storage.lengths for items in self.fields.values() if items.storage.lengths is not None]
        self.lengths = torch.stack(lengths).amax(0) if lengths else None

    @property
    def input_names(self) -> tuple[str, ...]:
        """The fields, then the actors, the teacher last, which stands for actors that are not named."""
        actors = sorted((actor for actor in self.reads if actor not in self.fields), key=lambda actor: actor == "teacher")
        return (*self.fields, *actors)

    def input_for(self, actor: str) -> str:
        """The actor itself if it is known, or the one that it reads like: the student for its average, else the teacher.

        Raises:
            ValueError: an actor that reads none of them.
        """
        if actor in self.reads or actor in self.fields:
            return actor
        like = "student" if actor == "average" else "teacher"
        if like not in self.reads:
            known = ", ".join(self.fields)
            raise ValueError(f"actor {actor!r} reads none of the fields {known}; give data with its field, or name one: reads:")
        return like

    def select_input(self, name: str) -> Items:
        items = self.fields[self.reads.get(name, name)]
        return items.for_actor(name) if items.storage.input_names else items

    def identity(self, actor: str = "teacher") -> str:
        """Hash of everything that the field of an actor depends on, besides its content."""
        if actor not in self.input_names:
            parts = "".join(self.identity(field) for field in self.fields)
            return hashlib.blake2b(parts.encode(), digest_size=16).hexdigest()
        read = self.select_input(actor)
        first = read.fetch(torch.tensor([0]))
        kept = getattr(read.storage, "identity", None)
        return f"{self.reads.get(actor, actor)} {kept() if kept is not None else list(first.shape[1:])}"

    def __len__(self) -> int:
        return len(next(iter(self.fields.values())))

    @property
    def in_memory(self) -> bool:
        return all(items.storage.in_memory for items in self.fields.values())

    def fetch(self, rows: Tensor) -> dict[str, Any]:
        fetched = {name: self._collate(name, items, rows) for name, items in self.fields.items()}
        return fetched | {actor: self.part_for(actor, fetched) for actor in self.reads}

    def part_for(self, actor: str, fetched: Mapping[str, Any]) -> Any:
        """What an actor reads of a batch of fields: its own tokens if tokenizers differ."""
        field = self.reads[actor]
        own = input_for_actor(actor, self.fields[field].storage.input_names)
        return fetched[field] if own is None else fetched[field][own]

    def _collate(self, name: str, items: Items, rows: Tensor) -> Any:
        if name in self.modalities:
            return self.modalities[name].collate(items, rows)
        inputs = items.fetch(rows)
        return to_float(inputs) if items.images else inputs

    def select(self, rows: Tensor) -> FieldStorage:
        return FieldStorage({name: items.select(rows) for name, items in self.fields.items()}, self.reads, self.modalities)


def field_items(
    fields: Mapping[str, Items], reads: Mapping[str, str], modalities: Mapping[str, Modality] | None = None
) -> Items:
    """Items of several fields. Their keys are hashes of the keys of all fields; labels are those of the first."""
    first = next(iter(fields.values()))
    rows = zip(*(items.keys.tolist() for items in fields.values()), strict=True)
    keys = as_keys(content_key(*(key.to_bytes(8, "little", signed=True) for key in row)) for row in rows)
    return Items(FieldStorage(fields, reads, modalities), keys, first.target, first.classes, first.class_names)


def with_reads(items: Items, reads: Mapping[str, str | None]) -> Items:
    """The same items, of which these actors read a field: `with_reads(items, {"student": "wave", "critic": "image"})`.

    Items of a mapping of tensors become items with fields. Without an actor that reads a field, items stay as they are.

    Raises:
        ValueError: a field that the items lack; fields for items that have none.
    """
    named = {actor: field for actor, field in reads.items() if field is not None}
    if not named:
        return items
    storage = items.storage
    if isinstance(storage, TensorStorage) and isinstance(storage.inputs, Mapping):
        parts = {
            name: Items.from_tensors(tensor, items.target, classes=items.classes, class_names=items.class_names)
            for name, tensor in storage.inputs.items()
        }
        storage = FieldStorage(parts, named)
    elif isinstance(storage, FieldStorage):
        storage = FieldStorage(storage.fields, storage.reads | named, storage.modalities)
    else:
        actor, field = next(iter(named.items()))
        raise ValueError(
            f"{actor} reads {field!r}, and these items have no fields; load them with load_fields, or leave reads out"
        )
    return Items(storage, items.keys, items.target, items.classes, items.class_names)


def map_field(items: Items, field: str, function: Callable[[Items], Items]) -> Items:
    """The same items with one field changed, for instance a text tokenized: `map_field(items, "caption", tokenized)`.

    Raises:
        ValueError: items without this field.
    """
    storage = items.storage
    if not isinstance(storage, FieldStorage) or field not in storage.fields:
        known = ", ".join(storage.fields) if isinstance(storage, FieldStorage) else "none"
        raise ValueError(f"field {field!r}: the fields of these items are: {known}")
    fields = {**storage.fields, field: function(storage.fields[field])}
    changed = FieldStorage(fields, storage.reads, storage.modalities)
    return Items(changed, items.keys, items.target, items.classes, items.class_names)
