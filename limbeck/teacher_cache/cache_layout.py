"""Where a teacher cache lies on the disk: one folder, with a store for each tap in it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import torch

from limbeck.data.content_keys import fingerprint
from limbeck.teacher_cache.cache_config import AUTO, CacheConfig
from limbeck.teacher_cache.codecs import Codec
from limbeck.teacher_cache.errors import StoreError
from limbeck.teacher_cache.store.manifest import NAME as MANIFEST
from limbeck.teacher_cache.store.manifest import read_manifest
from limbeck.teacher_cache.store.plan import can_be_completed
from limbeck.teacher_cache.store.shard_size import default_rows_per_shard
from limbeck.teacher_cache.teacher_query import TeacherQuery


def cache_folder(query: TeacherQuery, config: CacheConfig, beside: Path | None, codecs: Mapping[str, Codec]) -> Path:
    """Returns the folder of the cache: the configured one, or for "auto" one in `beside`, named after the cache's identity.

    If a run on other samples has left the cache there unfinished, which this one cannot complete, "auto" is a folder for these
    samples alone.

    Raises:
        ValueError: the path is "auto" and `beside` is None, or it is a file, or no folder can be made there.
    """
    if config.path != AUTO:
        check_cache_folder(config)
        return Path(config.path)
    if beside is None:
        raise ValueError(
            "cache: auto places the cache beside the run, which has no folder; give the run a folder, or the cache a path"
        )
    views = 1 if query.one_view else query.source.view_count
    identity = {"identity": query.identity, "views": views, "codecs": {t: str(c) for t, c in codecs.items()}}
    folder = beside / "store" / hashlib.blake2b(json.dumps(identity, sort_keys=True).encode(), digest_size=6).hexdigest()
    if not config.strict and any(_is_blocked(tap_folder(folder, tap), query) for tap in codecs):
        return folder.with_name(f"{folder.name}-{fingerprint({'keys': query.items.keys})[:12]}")
    return folder


def _is_blocked(store: Path, query: TeacherQuery) -> bool:
    """Whether the store is there, unfinished, and this run lacks samples to complete it."""
    try:
        keys = torch.unique(query.items.keys.cpu().long())
        return (store / MANIFEST).exists() and not can_be_completed(store, keys, query.view_count)
    except StoreError:  # damaged: opening it says so, or mends it
        return False


def check_cache_folder(config: CacheConfig) -> None:
    """Refuses a path at which there can be no cache: a file, or a folder without outputs that cannot be made or written.

    Raises:
        ValueError: the path cannot be used.
    """
    if config.path == AUTO:
        return
    folder = Path(config.path)
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not there.is_dir():
        raise ValueError(f"cache: {there} is a file; name a folder, or auto")
    if not os.access(there, os.W_OK | os.X_OK) and not find_stores(folder):
        raise ValueError(f"cache: {folder} holds no outputs, and {there} cannot be written; name another folder, or auto")


def tap_folder(folder: Path, tap: str) -> Path:
    """Returns the folder of a tap's store. Each tap has its own, so that runs with different taps share those in common."""
    return folder / quote(tap, safe="()")


def rows_per_shard(query: TeacherQuery, codecs: Mapping[str, Codec]) -> int:
    """Returns the number of rows of a shard, the same for every tap, so that one run of the teacher fills the shards of all."""
    return min(default_rows_per_shard({tap: codec}, query.example_outputs) for tap, codec in codecs.items())


def find_stores(folder: Path) -> dict[str, Path]:
    """Returns the stores under a folder, named after their taps; stores of the same taps also after their folder."""
    found = [path.parent for path in sorted(folder.glob(f"**/{MANIFEST}"))]
    names = [_store_name(place) for place in found]
    return {
        name if names.count(name) == 1 else f"{name} in {place.parent.relative_to(folder)}": place
        for name, place in zip(names, found, strict=True)
    }


def _store_name(folder: Path) -> str:
    try:
        return ", ".join(read_manifest(folder).codecs)
    except StoreError:  # corrupt: reading the store reports it
        return folder.name
