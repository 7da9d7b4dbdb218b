"""`Dataset`: the source that walks through items, epoch after epoch, in a keyed order and in keyed views."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from limbeck.core.batch import DEFAULT_VIEW, Batch, token_mask
from limbeck.core.source import BatchPosition, Source
from limbeck.data import keyed_random
from limbeck.data.epoch_order import epoch_order
from limbeck.data.image.pipeline import Pipeline, to_float
from limbeck.data.items import Items
from limbeck.data.prefetch import Prefetcher
from limbeck.data.text.masking import Masking


class Dataset(Source):
    """Batches of `items`, a pure function of the place.

    An epoch is `steps_per_epoch` global batches in an order keyed by (seed, epoch). Items left over at its end are
    skipped, or with `drop_last=False` the last batch is filled up from the epoch's beginning, so that every step has as
    many items. A batch size above the number of items is reduced to it, and further until it divides by the parts.

    Views are made afresh in each epoch. With `view_count` V there are only V views of each item, as a store of teacher
    signals needs: every pass of V epochs shows each item all of them, in an order drawn for that item and pass. They are
    keyed by `view_seed`, so that runs of different seeds see the same ones. The target is that of the view named
    "default", or of the first view where there is none. Pipelines change images, `Masking` changes tokens; inputs that a
    view does not know are handed through as they are.

    With `group_by_length` items of about the same length stand in one batch, so that little is padded. Left out, it is on
    where items have lengths, as tokens do. Which items an epoch shows, and how often, stays the same.

    `workers` threads decode images that are not in memory. `prefetch` steps are computed ahead by one thread; neither
    changes what a batch holds.
    """

    def __init__(
        self,
        items: Items,
        batch_size: int = 128,
        views: Mapping[str, Pipeline | Masking] | None = None,
        view_count: int | None = None,
        view_seed: int | None = None,
        workers: int = 0,
        drop_last: bool = True,
        prefetch: int = 0,
        group_by_length: bool | None = None,
    ) -> None:
        for name, value, least in (
            ("batch_size", batch_size, 1),
            ("view_count", view_count, 1),
            ("workers", workers, 0),
            ("prefetch", prefetch, 0),
        ):
            if value is not None and value < least:
                raise ValueError(f"{name}={value}: expected {least} or more")
        if not len(items):
            raise ValueError("items: the data set is empty")
        if views is not None and not views:
            raise ValueError('views: expected at least one, for instance {"default": Pipeline()}')
        if not items.images and any(len(view) for view in (views or {}).values() if isinstance(view, Pipeline)):
            warnings.warn("items: no images in [0, 1], so that their views are left as they are", stacklevel=2)
        if group_by_length and items.storage.lengths is None:
            raise ValueError("group_by_length=True: these items are all of one size; leave it out")
        self.items, self.view_count, self.workers, self.drop_last = items, view_count, workers, drop_last
        self.view_seed = view_seed
        self.views: dict[str, Pipeline | Masking] = dict(views or {DEFAULT_VIEW: Pipeline()})
        self.batch_size = batch_size
        self.samples = len(items)
        size = min(batch_size, len(items))
        self.steps_per_epoch: int = len(items) // size if drop_last else -(-len(items) // size)
        self.group_by_length = items.storage.lengths is not None if group_by_length is None else group_by_length
        self._order: tuple[tuple[int, int], Tensor] | None = None
        self._prefetcher = Prefetcher(self._compute, prefetch)

    def batch(self, position: BatchPosition) -> Batch:
        return self._prefetcher.batch(position)

    def rows(self, position: BatchPosition) -> Tensor:
        """Which items the piece of the global batch holds."""
        size = self._piece(position.parts)
        epoch, step_in_epoch = divmod(position.step, self.steps_per_epoch)
        start = step_in_epoch * min(self.batch_size, len(self.items)) + position.part * size
        return self._epoch(position.seed, epoch)[start : start + size]

    def _compute(self, position: BatchPosition) -> Batch:
        rows = self.rows(position)
        epoch = position.step // self.steps_per_epoch
        view = self._view_of(rows, position.seed, epoch)
        if view is not None:
            return self.batch_of_views(rows, view, position.seed)
        return self._shown(rows, position.seed, epoch)

    def batch_of_views(self, rows: Tensor, view: Tensor, seed: int = 0) -> Batch:
        """These rows of the data set, each in the view of this number (int64 `[B]`)."""
        seed = seed if self.view_seed is None else self.view_seed
        return replace(self._shown(rows, seed, view), view=view)

    def _shown(self, rows: Tensor, seed: int, view: keyed_random.ViewNumber) -> Batch:
        plain = unaugmented_batch(self.items, rows, self.workers)
        keys, inputs, target = self.items.keys[rows], plain.inputs[DEFAULT_VIEW], plain.target
        leading = DEFAULT_VIEW if DEFAULT_VIEW in self.views else next(iter(self.views))
        shown: dict[str, Any] = {}
        for name, change in self.views.items():
            if isinstance(change, Pipeline) and not self.items.images:
                shown[name] = inputs
                continue
            shown[name], changed = change(inputs, keys, seed=seed, view=view, stream=name, target=plain.target, pool=self.items)
            if name == leading:
                target = changed
        return replace(plain, inputs=shown, target=target)

    def _view_of(self, rows: Tensor, seed: int, epoch: int) -> Tensor | None:
        """Which of the `view_count` views each item shows in this epoch; None: every epoch has views of its own."""
        if self.view_count is None:
            return None
        done, turn = divmod(epoch, self.view_count)
        return keyed_random.permutations(seed, self.items.keys[rows], done, "views", self.view_count)[:, turn]

    def _piece(self, parts: int) -> int:
        """Items per part."""
        if self.batch_size > len(self.items):
            if parts > len(self.items):
                raise ValueError(f"{len(self.items)} items do not go round {parts} parts; use fewer ranks or less accumulation")
            return len(self.items) // parts
        if self.batch_size % parts:
            lower = self.batch_size // parts * parts
            raise ValueError(
                f"batch_size={self.batch_size} does not divide into {parts} parts (ranks × accumulation steps); "
                f"set batch_size to {' or '.join(str(n) for n in (lower, lower + parts) if n)}"
            )
        return self.batch_size // parts

    def _epoch(self, seed: int, epoch: int) -> Tensor:
        """The rows of an epoch, one global batch after the other."""
        kept = self._order  # read once: the prefetching thread may replace it meanwhile
        if kept is None or kept[0] != (seed, epoch):
            lengths = self.items.storage.lengths if self.group_by_length else None
            size = min(self.batch_size, len(self.items))
            kept = ((seed, epoch), epoch_order(seed, epoch, len(self.items), size, self.steps_per_epoch, lengths))
            self._order = kept
        return kept[1]


def unaugmented_batch(items: Items, rows: Tensor, workers: int = 0) -> Batch:
    """These rows without augmentation, as the view "default"; images in [0, 1]."""
    inputs: Any = items.fetch(rows, workers)
    if isinstance(inputs, list):
        raise ValueError("models do not read texts; turn them into tokens first: tokenize(items, tokenizer)")
    mask = token_mask(inputs)
    return Batch(
        inputs={DEFAULT_VIEW: inputs},
        target=None if items.target is None else items.target[rows],
        keys=items.keys[rows],
        index=rows,
        mask=None if mask is None else mask.bool(),
    )


def evaluation_batches(items: Items, batch_size: int = 512, workers: int = 0) -> Iterator[Batch]:
    """Every item once, in order, without augmentation; the last batch may be smaller."""
    for rows in torch.split(torch.arange(len(items)), batch_size):
        batch = unaugmented_batch(items, rows, workers)
        if items.images:
            batch = replace(batch, inputs={DEFAULT_VIEW: to_float(batch.inputs[DEFAULT_VIEW])})
        yield batch
