"""The items that sources draw from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from limbeck.data import Items


def items_of_source(source: Any) -> Iterator[Items]:
    """All items that a source draws from, through sources that keep or mix those of others (`of`); none if it makes its own."""
    items = source if isinstance(source, Items) else getattr(source, "items", None)
    if isinstance(items, Items):
        yield items
        return
    others = getattr(source, "of", None)
    for other in others if isinstance(others, list | tuple) else [] if others is None else [others]:
        yield from items_of_source(other)
