"""Fills a teacher cache ahead of training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from limbeck.core.batch import Batch
from limbeck.data import Items
from limbeck.data.content_keys import fingerprint
from limbeck.data.workers import computed_in_workers
from limbeck.teacher_cache.cache_layout import rows_per_shard, tap_folder
from limbeck.teacher_cache.codecs import Codec
from limbeck.teacher_cache.store.builder import StoreBuilder
from limbeck.teacher_cache.store.writer import PendingShard
from limbeck.teacher_cache.teacher_query import TeacherQuery
from limbeck.utils.progress_bar import ProgressCallback


def fill_cache(
    query: TeacherQuery, folder: Path, codecs: Mapping[str, Codec], progress: ProgressCallback, batch_size: int = 256
) -> None:
    """Run the teacher on every item in every view and store its outputs.

    Continues where an earlier build was stopped. With several processes each builds its share of the shards.

    Args:
        query: the teacher, its inputs and its taps.
        folder: the folder of the cache.
        codecs: the codec of each tap, see `choose_codecs`.
        progress: called after each batch.
        batch_size: items in one batch of the teacher.
    """
    keys, views, shard_rows = query.items.keys, query.view_count, rows_per_shard(query, codecs)
    rows_of = _row_lookup(query.items)
    with ExitStack() as stack:
        builders = {}
        for tap, codec in codecs.items():
            builder = StoreBuilder(
                tap_folder(folder, tap),
                keys,
                views,
                {tap: codec},
                query.identity,
                rows_per_shard=shard_rows,
                describe=query.describe_item,
            )
            builders[tap] = stack.enter_context(builder)
        pending = _pending_by_rows(builders)
        done, total = 0, sum(len(_first(shards).keys) for shards in pending)
        parts = [_Part(shards, some) for shards in pending for some in torch.split(_first(shards).keys, batch_size)]

        def batch_of(part: _Part) -> Batch:
            return query.source.batch_of_views(rows_of(part.keys), torch.full_like(part.keys, _first(part.shards).view))

        batches = computed_in_workers(batch_of, parts, query.source.workers)
        for part, batch in zip(parts, batches, strict=True):
            outputs = query.run(batch)
            for tap, shard in part.shards.items():
                builders[tap].write(shard, {tap: outputs[tap]})
            done += len(part.keys)
            progress(done, total)


class _Part(NamedTuple):
    """One batch of the teacher: the shards that its outputs belong to, by tap, and the keys of its items."""

    shards: dict[str, PendingShard]
    keys: Tensor


def _first(shards: Mapping[str, PendingShard]) -> PendingShard:
    return next(iter(shards.values()))


def _pending_by_rows(builders: Mapping[str, StoreBuilder]) -> list[dict[str, PendingShard]]:
    """The pending shards of all taps. Those of the same samples in the same view form one group, filled by the same batches."""
    groups: dict[tuple[int, str], dict[str, PendingShard]] = {}
    for tap, builder in builders.items():
        for shard in builder.pending():
            groups.setdefault((shard.view, fingerprint({"keys": shard.keys})), {})[tap] = shard
    return list(groups.values())


def _row_lookup(items: Items) -> Callable[[Tensor], Tensor]:
    """Returns a function from sample keys to rows of `items`."""
    order = items.keys.argsort()
    ordered = items.keys[order]
    return lambda keys: order[torch.searchsorted(ordered, keys)]
