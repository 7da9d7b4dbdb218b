"""Opens a teacher cache for one training, which reads it and fills it."""

from __future__ import annotations

import functools
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch
from torch import Tensor

from limbeck.teacher_cache.cache_config import CacheConfig
from limbeck.teacher_cache.cache_layout import rows_per_shard, tap_folder
from limbeck.teacher_cache.cached_teacher import CachedTeacher
from limbeck.teacher_cache.codecs import Codec
from limbeck.teacher_cache.store.incremental import IncrementalStore
from limbeck.teacher_cache.store.manifest import NAME as MANIFEST
from limbeck.teacher_cache.store.reader import StoreReader
from limbeck.teacher_cache.store.store import Store
from limbeck.teacher_cache.teacher_query import TeacherQuery
from limbeck.utils import distributed
from limbeck.utils.folder_lock import FolderInUseError, FolderLockError

WAIT = 10.0  # seconds for the manifest of a store that another process is making
BATCH = 256  # items in one batch of the teacher when the last missing outputs are computed


@contextmanager
def open_cache(query: TeacherQuery, config: CacheConfig, folder: Path, codecs: Mapping[str, Codec]) -> Iterator[CachedTeacher]:
    """Open the cache in `folder` for one training.

    Outputs that are missing are computed and stored as training goes on. A store that another process writes, or in a folder
    that cannot be written, is only read, with a warning.

    Raises:
        FolderLockError: there is no store, and none can be made.
        StoreError: the folder holds outputs of another teacher, or of other views or data; the message names each difference.
    """
    readers: dict[str, StoreReader] = {}
    shard_rows = rows_per_shard(query, codecs)
    with ExitStack() as stack:
        for tap, codec in codecs.items():
            readers[tap] = _open_store(tap_folder(folder, tap), query, {tap: codec}, shard_rows, stack, strict=config.strict)
        cached = CachedTeacher(readers, strict=config.strict, one_view=query.one_view)
        yield cached
        cached.completed = _complete(
            {tap: reader for tap, reader in readers.items() if isinstance(reader, IncrementalStore) and not reader.read_only},
            query,
        )


def _open_store(
    folder: Path, query: TeacherQuery, codec: Mapping[str, Codec], shard_rows: int, stack: ExitStack, *, strict: bool
) -> StoreReader:
    store = Store.open(folder, expect=query.identity, codecs=codec) if (folder / MANIFEST).exists() else None
    views = query.view_count
    if store is not None and (strict or bool(store.has(query.items.keys, views - 1).all() and store.complete)):
        return store
    incremental = functools.partial(
        IncrementalStore,
        folder,
        query.items.keys,
        views,
        codec,
        query.identity,
        rows_per_shard=shard_rows,
        describe=query.describe_item,
    )
    try:
        return stack.enter_context(incremental())
    except FolderLockError as error:
        if not _appears(folder / MANIFEST, WAIT if isinstance(error, FolderInUseError) else 0):
            raise
        warnings.warn(f"{error}; its outputs are read, and the teacher computes those that are missing each time", stacklevel=2)
        return stack.enter_context(incremental(read_only=True))


def _appears(path: Path, seconds: float) -> bool:
    """Whether a file is there within so many seconds: who has locked a new store writes its manifest next."""
    end = time.monotonic() + seconds
    while not path.exists() and time.monotonic() < end:
        time.sleep(0.05)
    return path.exists()


def _complete(stores: Mapping[str, IncrementalStore], query: TeacherQuery) -> int:
    """Turn the rows that training added into shards. Returns the number of items that the teacher was run on.

    Epochs leave out their last incomplete batch, and a training may end before all items have shown the newest views, so that
    rows are missing. If they are few, their outputs are computed here; otherwise the next training continues.
    """
    if not stores:
        return 0
    _share_rows(stores)
    views, keys = query.view_count, query.items.keys
    missing = [(view, _missing_rows(stores, keys, view)) for view in range(views)]
    count = sum(len(rows) for _, rows in missing)
    if count > len(keys) * views // 10:
        return 0
    for view, rows in missing:
        for some in torch.split(rows, BATCH):
            if len(some) and distributed.rank() == 0:  # an empty tensor splits into one empty piece
                batch = query.source.batch_of_views(some, torch.full_like(some, view))
                assert batch.keys is not None
                outputs = query.run(batch)
                for tap, store in stores.items():
                    store.append(batch.keys, view, {tap: outputs[tap]})
    _share_rows(stores)
    for store in stores.values():
        if store.complete:  # it may lack views, or samples, that this run does not have
            store.compact()
    return count


def _share_rows(stores: Mapping[str, IncrementalStore]) -> None:
    """Make the rows that each process has added known to all."""
    for store in stores.values():
        store.flush()
    if distributed.world_size() > 1:
        distributed.barrier()
        for store in stores.values():
            store.refresh()


def _missing_rows(stores: Mapping[str, IncrementalStore], keys: Tensor, view: int) -> Tensor:
    """Rows of the items that at least one of the stores lacks."""
    stored = torch.stack([store.has(keys, view) for store in stores.values()]).all(0)
    return (~stored).nonzero()[:, 0]
