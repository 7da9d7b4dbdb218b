"""`Dataset`: the source that reads items epoch after epoch, in a keyed order and in keyed views."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

import torch
from torch import Tensor

from limbeck.core.batch import DEFAULT_VIEW, Batch, select_rows, token_mask
from limbeck.core.source import BatchPosition, Source
from limbeck.data import keyed_random
from limbeck.data.epoch_order import epoch_order
from limbeck.data.fields.views import FieldViews
from limbeck.data.image.pipeline import Pipeline
from limbeck.data.image.storage import OriginalImages
from limbeck.data.image.transform import to_float
from limbeck.data.items import Items
from limbeck.data.prefetch import Prefetcher
from limbeck.data.repeated_views import view_numbers
from limbeck.data.text.masking import Masking
from limbeck.data.text.next_tokens import NextTokens
from limbeck.data.text.tagged_tokens import TagTargets
from limbeck.data.workers import computed_in_workers, default_workers, is_worker
from limbeck.utils.argument_types import require_whole

View: TypeAlias = Pipeline | FieldViews | Masking | NextTokens | TagTargets


class Dataset(Source):
    """Batches of `items`, a pure function of the position.

    An epoch is `steps_per_epoch` global batches in an order keyed by (seed, epoch). Items left over at its end are skipped;
    with `drop_last=False` the last batch is filled up from the start of the epoch, so that every batch has the same size. A
    batch size above the number of items is reduced to it, and further until it divides by the parts.

    Args:
        items: the data.
        batch_size: items in a global batch.
        views: pipelines (images, sounds), `FieldViews` or `Masking` (tokens) by name. Inputs that a view cannot change are
            passed through. The target is that of the view "default", or of the first view if there is none of this name.
        view_count: V, if there are only V views of each item, as a cache of teacher outputs needs. V epochs show each item all
            of its views once, in an order drawn for that item. Default: new views in every epoch.
        view_refresh: share of these views that the next V epochs replace by new ones, from 0 to 1.
        view_seed: seed of the views. With the same one, runs of different seeds see the same views. Default: the seed of the
            run.
        workers: processes that make batches ahead. Default: see `default_workers`, if items have to be decoded
            each time; else 0.
        drop_last: whether items left over at the end of an epoch are skipped.
        prefetch: steps that are computed ahead in a background thread. Workers and prefetching do not change any batch.
        group_by_length: whether batches hold items of similar length, which saves padding. The items of an epoch stay the same.
            Default: if the items have lengths, as tokens do.

    Raises:
        ValueError: an argument out of range; no items; `group_by_length` for items without lengths.
    """

    def __init__(
        self,
        items: Items,
        batch_size: int = 128,
        views: Mapping[str, View] | None = None,
        view_count: int | None = None,
        view_refresh: float = 0.0,
        view_seed: int | None = None,
        workers: int | None = None,
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
            require_whole(name, value, least)
        if not 0 <= view_refresh <= 1:
            raise ValueError(f"view_refresh={view_refresh}: expected a share from 0 to 1")
        if not len(items):
            raise ValueError("items: the data set is empty")
        if views is not None and not (isinstance(views, Mapping) and views):
            found = "an empty mapping" if isinstance(views, Mapping) else type(views).__name__
            raise ValueError(
                f"views: {found}; expected a mapping from the name of a view to its transforms, such as "
                '{"default": Pipeline.from_spec(["horizontal_flip"])}'
            )
        for view in (views or {}).values():
            if isinstance(view, Pipeline) and len(view) and view.modality != items.modality:
                kind = "images in [0, 1]" if view.modality == "image" else view.modality
                warnings.warn(f"items: these are not {kind}, so their views leave them unchanged", stacklevel=2)
        if group_by_length and items.storage.lengths is None:
            raise ValueError("group_by_length=True: these items are all of one size; leave it out")
        self.items, self.view_count, self.drop_last = items, view_count, drop_last
        self.view_seed, self.view_refresh = view_seed, view_refresh
        self.views: dict[str, View] = dict(views or {DEFAULT_VIEW: Pipeline()})
        self.batch_size = batch_size
        self.samples = len(items)
        size = min(batch_size, len(items))
        self.steps_per_epoch: int = len(items) // size if drop_last else -(-len(items) // size)
        self.group_by_length = items.storage.lengths is not None if group_by_length is None else group_by_length
        self._order: tuple[tuple[int, int], Tensor] | None = None
        pipelines = {name: view for name, view in self.views.items() if isinstance(view, Pipeline)}
        self._cropped = {name for name, view in pipelines.items() if view.reads_originals(items.target)}
        self._images = {name for name, view in pipelines.items() if view.modality == items.modality == "image"}
        decodes = workers is None and self._decodes()
        self.workers = workers or (default_workers() if decodes else 0)
        self._prefetcher = Prefetcher(self._compute, max(prefetch, 1) if decodes else prefetch, self.workers)

    def _decodes(self) -> bool:
        """Whether items are decoded anew in every epoch."""
        first = self.items.originals(torch.zeros(1, dtype=torch.int64)) if self._cropped else None
        return not self.items.storage.in_memory or isinstance(first, OriginalImages)

    def changes(self, name: str | None) -> bool:
        """Whether the default view changes what an actor reads, by the name of the actor or field."""
        view = self.views.get(DEFAULT_VIEW)
        return not isinstance(view, FieldViews) or view.changes(name)

    def batch(self, position: BatchPosition) -> Batch:
        batch = self._prefetcher.batch(position)
        sent = {name: to_float(batch.inputs[name]) for name in self._images if batch.inputs[name].dtype == torch.uint8}
        return replace(batch, inputs={**batch.inputs, **sent}) if sent else batch

    def close(self) -> None:
        self._prefetcher.close()

    def rows(self, position: BatchPosition) -> Tensor:
        """The rows of the items at this position, int64 `[B]`."""
        size = self.part_size(position.parts)
        epoch, step_in_epoch = divmod(position.step, self.steps_per_epoch)
        start = step_in_epoch * min(self.batch_size, len(self.items)) + position.part * size
        return self._epoch_rows(position.seed, epoch)[start : start + size]

    def batch_of_views(self, rows: Tensor, view: Tensor, seed: int = 0) -> Batch:
        """These rows, each in the view of the given number (int64 `[B]`)."""
        return self._of_views(rows, view, seed)

    def _of_views(self, rows: Tensor, view: Tensor, seed: int, *, floats: bool = True) -> Batch:
        seed = seed if self.view_seed is None else self.view_seed
        return replace(self._augmented(rows, seed, view, floats=floats), view=view)

    def _compute(self, position: BatchPosition) -> Batch:
        """The batch; from a worker images travel as bytes, a quarter of what floats take, and `batch` converts them."""
        rows = self.rows(position)
        epoch = position.step // self.steps_per_epoch
        view = self._view_numbers(rows, position.seed, epoch)
        if view is not None:
            return self._of_views(rows, view, position.seed, floats=not is_worker())
        return self._augmented(rows, position.seed, epoch, floats=not is_worker())

    def _augmented(self, rows: Tensor, seed: int, view: keyed_random.ViewNumber, *, floats: bool = True) -> Batch:
        if len(self._cropped) == len(self.views):  # nothing is decoded but what the views crop
            plain = Batch(inputs={}, target=select_rows(self.items.target, rows), keys=self.items.keys[rows], index=rows)
        else:
            plain = unaugmented_batch(self.items, rows)
        keys, target = self.items.keys[rows], plain.target
        leading = DEFAULT_VIEW if DEFAULT_VIEW in self.views else next(iter(self.views))
        augmented: dict[str, Any] = {}
        for name, change in self.views.items():
            inputs = self.items.originals(rows) if name in self._cropped else plain.inputs[DEFAULT_VIEW]
            if isinstance(change, Pipeline) and change.modality != self.items.modality:
                augmented[name] = inputs
                continue
            kept: dict[str, Any] = {"floats": floats} if name in self._images else {}
            augmented[name], changed = change(
                inputs, keys, seed=seed, view=view, stream=name, target=plain.target, pool=self.items, **kept
            )
            if name == leading:
                target = changed
        return replace(plain, inputs=augmented, target=target)

    def _view_numbers(self, rows: Tensor, seed: int, epoch: int) -> Tensor | None:
        """Which view each item shows in this epoch; None if views never repeat."""
        if self.view_count is None:
            return None
        return view_numbers(seed, self.items.keys[rows], epoch, self.view_count, self.view_refresh)

    def part_size(self, parts: int) -> int:
        """Items in each part of a global batch.

        Raises:
            ValueError: a batch does not divide into so many parts.
        """
        if self.batch_size > len(self.items):
            if parts > len(self.items):
                raise ValueError(
                    f"{len(self.items)} items are too few for {parts} parts; use fewer processes or less accumulation"
                )
            return len(self.items) // parts
        if self.batch_size % parts:
            lower = self.batch_size // parts * parts
            raise ValueError(
                f"batch_size={self.batch_size} does not divide into {parts} parts (processes × accumulation steps); "
                f"set batch_size to {' or '.join(str(n) for n in (lower, lower + parts) if n)}"
            )
        return self.batch_size // parts

    def _epoch_rows(self, seed: int, epoch: int) -> Tensor:
        """The rows of an epoch, one global batch after the other."""
        cached = self._order  # read once: the prefetching thread may replace it meanwhile
        if cached is None or cached[0] != (seed, epoch):
            lengths = self.items.storage.lengths if self.group_by_length else None
            size = min(self.batch_size, len(self.items))
            cached = ((seed, epoch), epoch_order(seed, epoch, len(self.items), size, self.steps_per_epoch, lengths))
            self._order = cached
        return cached[1]


def unaugmented_batch(items: Items, rows: Tensor) -> Batch:
    """These rows without augmentation, as the view "default"; images keep their data type."""
    inputs: Any = items.fetch(rows)
    if isinstance(inputs, list):
        raise ValueError("models do not read texts; turn them into tokens first: tokenize(items, tokenizer)")
    mask = token_mask(inputs)
    return Batch(
        inputs={DEFAULT_VIEW: inputs},
        target=select_rows(items.target, rows),
        keys=items.keys[rows],
        index=rows,
        mask=None if mask is None else mask.bool(),
    )


def evaluation_batches(items: Items, batch_size: int = 128, workers: int | None = None) -> Iterator[Batch]:
    """Every item once, in order, without augmentation; images in [0, 1]. The last batch may be smaller.

    Args:
        workers: processes that read and decode items; None: see `default_workers`, if there are several batches of items that
            are not in memory, else 0.
    """

    def batch(rows: Tensor) -> Batch:
        plain = unaugmented_batch(items, rows)
        return replace(plain, inputs={DEFAULT_VIEW: to_float(plain.inputs[DEFAULT_VIEW])}) if items.images else plain

    if workers is None:
        workers = default_workers() if not items.storage.in_memory and len(items) > batch_size else 0
    yield from computed_in_workers(batch, torch.split(torch.arange(len(items)), batch_size), workers)
