"""Items that a weigher cannot weigh, wherever they are in the data: found before anything is trained."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import torch

from limbeck.core.batch import DEFAULT_VIEW, Batch
from limbeck.core.criterion import Criterion
from limbeck.core.criterion_builder import weighers_of
from limbeck.core.term_loss import naming
from limbeck.data import FieldStorage, Items
from limbeck.data.storage import TensorStorage


def check_weighed_items(criterion: Criterion, items: Items, given: Collection[str] = ()) -> None:
    """Lets the weighers of a built criterion refuse any item by the fields that they read of it.

    Args:
        given: fields that the batches have from their source, whatever the items hold.

    Raises:
        ValueError: a weigher cannot weigh an item.
    """
    for term in criterion.terms:
        for weigher, teachers in weighers_of(term):
            fields = {name: _field(items, name) for name in weigher.fields}
            if fields and all(values is not None and name not in given for name, values in fields.items()):
                with naming(term):
                    weigher.check(Batch({DEFAULT_VIEW: fields}, keys=items.keys), teachers)


def _field(items: Items, name: str) -> Any:
    """The values of a field for all items; None: the items have no such field."""
    storage = items.storage
    if isinstance(storage, FieldStorage) and name in storage.fields:
        return storage.fields[name].fetch(torch.arange(len(items)))
    inputs = storage.inputs if isinstance(storage, TensorStorage) else None
    return inputs.get(name) if isinstance(inputs, Mapping) else None
