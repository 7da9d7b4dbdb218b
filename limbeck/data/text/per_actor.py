"""Items of which each actor reads its own, such as windows of contexts by two tokenizers."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from limbeck.data.items import Items
from limbeck.data.storage import Storage
from limbeck.data.text.qa_windows import WindowStorage
from limbeck.data.text.token_storage import TokenStorage


class PerActorStorage(Storage):
    """Items by the name of the actor that reads them; `fetch` returns a mapping of what each of them reads.

    Batches for several actors need the same items in the same order. If one actor has more items than another (a smaller
    vocabulary takes more windows for a context), each can still be evaluated on its own, by `select_input`.
    """

    def __init__(self, parts: Mapping[str, Items]) -> None:
        self.parts = dict(parts)
        self.first = next(iter(self.parts.values()))
        lengths = [part.storage.lengths for part in self.parts.values() if part.storage.lengths is not None]
        self.lengths = torch.stack(lengths).amax(0) if lengths and self.same_items else self.first.storage.lengths

    @property
    def input_names(self) -> tuple[str, ...]:
        return tuple(self.parts)

    @property
    def same_items(self) -> bool:
        """Whether all actors have the same items in the same order."""
        return all(torch.equal(part.keys, self.first.keys) for part in self.parts.values())

    @property
    def aligned(self) -> bool:
        return self.first_difference() is None

    def first_difference(self) -> str | None:
        return self._first_difference

    @cached_property
    def _first_difference(self) -> str | None:
        one, *others = self.parts
        for other in others:
            ours, theirs = self.parts[one], self.parts[other]
            found = _windows(ours).first_difference_from(_windows(theirs), (one, other))
            if found is not None:
                return found
            if len(ours) != len(theirs):
                return f"{len(ours):,} windows for the {one}, {len(theirs):,} for the {other}"
        return None

    def identity(self, name: str | None = None) -> str:
        """Hash of everything that the tokens of an actor depend on. Default: the hashes of all actors."""
        parts = [self.parts[name]] if name is not None else list(self.parts.values())
        return "+".join(part.storage.identity() for part in parts if isinstance(part.storage, TokenStorage))

    def select_input(self, name: str) -> Items:
        return self.parts[name]

    def __len__(self) -> int:
        return len(self.first)

    def fetch(self, rows: Tensor) -> dict[str, Any]:
        self._require_same_items()
        return {name: part.fetch(rows) for name, part in self.parts.items()}

    def select(self, rows: Tensor) -> PerActorStorage:
        self._require_same_items()
        return PerActorStorage({name: part.select(rows) for name, part in self.parts.items()})

    def _require_same_items(self) -> None:
        if not self.same_items:
            raise ValueError(
                f"the tokenizers make different windows, and first differ at {self.first_difference()}; actors can read them "
                "one at a time only. Give both one tokenizer, or cut the student's vocabulary without a size"
            )


def per_actor_items(parts: Mapping[str, Items]) -> Items:
    """The same windows of contexts as each actor reads them, by name; keys and labels are those of the first."""
    first = next(iter(parts.values()))
    return Items(PerActorStorage(parts), first.keys, first.target, first.classes, first.class_names)


def _windows(items: Items) -> WindowStorage:
    if not isinstance(items.storage, WindowStorage):
        raise ValueError(
            "per_actor_items: expected windows of contexts, as limbeck.data.tokenize_questions makes them; texts are read by "
            "several tokenizers with tokenize(items, {'student': …, 'teacher': …})"
        )
    return items.storage
