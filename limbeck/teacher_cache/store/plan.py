"""What a store is to hold: its segments, views and blocks, written to the manifest before the first shard."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import torch
from torch import Tensor

from limbeck.core.signals import AnySignal
from limbeck.teacher_cache.codecs import Codec
from limbeck.teacher_cache.errors import StoreError
from limbeck.teacher_cache.store import readme
from limbeck.teacher_cache.store.file_format import FileRecord, serialize
from limbeck.teacher_cache.store.key_index import open_keys
from limbeck.teacher_cache.store.manifest import NAME as MANIFEST
from limbeck.teacher_cache.store.manifest import Identity, Manifest, Segment, keys_path, read_manifest
from limbeck.teacher_cache.store.shard_size import default_rows_per_shard
from limbeck.utils.atomic_files import write_atomic


@dataclass(frozen=True)
class StorePlan:
    """The content that a writer wants a store to have. `keys` are sorted and unique; see `StoreWriter` for the others."""

    keys: Tensor
    views: int
    codecs: Mapping[str, Codec]
    identity: Identity
    rows_per_shard: int | None
    example: Mapping[str, AnySignal] | None

    def write(self, folder: Path) -> None:
        """Write the manifest of a new store, or extend the one that is there by new views and samples.

        Raises:
            IdentityError: the store has another identity.
            StoreError: more views of samples that are not among the keys.
        """
        if (folder / MANIFEST).exists():
            manifest = read_manifest(folder)
            manifest.require_identity(folder, self.identity, self.codecs)
        else:
            manifest = Manifest(dict(self.identity), dict(self.codecs), self.views)
        new, before = self.keys, manifest.text()
        for number, segment in enumerate(manifest.segments):
            known = self._known_keys(folder, number, segment, new)
            if missing := _unreachable(segment, known, self.keys, max(self.views, manifest.views)):
                raise StoreError(
                    f"{folder}: {missing} shards are missing for {self.views} views, and they hold samples that this run does "
                    "not have. Give all samples of the store, name another folder (cache: {path: …}), or delete this one"
                )
            new = new[~_contains(known, new)]
        manifest.views = max(manifest.views, self.views)
        if len(new):
            manifest.segments.append(self._write_segment(folder, len(manifest.segments), new))
        page = readme.text(self.codecs).encode()
        manifest.readme = FileRecord(sha256(page).hexdigest(), len(page))
        if not (folder / readme.NAME).exists() or manifest.text() != before:
            write_atomic(folder / readme.NAME, page)
        if not (folder / MANIFEST).exists() or manifest.text() != before:
            manifest.write(folder)

    def _known_keys(self, folder: Path, number: int, segment: Segment, new: Tensor) -> Tensor:
        """Returns the keys of a segment. A file that was deleted is written again if it held the keys `new`."""
        if not keys_path(folder, number).exists() and serialize({"keys": new})[1] == segment.keys:
            self._write_keys(folder, number, new)
        return segment_keys(folder, number, segment)

    def _write_segment(self, folder: Path, number: int, keys: Tensor) -> Segment:
        return Segment(len(keys), self.rows_per_shard or self._default_rows(), self._write_keys(folder, number, keys))

    def _write_keys(self, folder: Path, number: int, keys: Tensor) -> FileRecord:
        content, record = serialize({"keys": keys})
        path = keys_path(folder, number)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, content)
        return record

    def _default_rows(self) -> int:
        if self.example is None:
            raise StoreError("rows_per_shard: give it, or an example of the signals, from which the size of a row is taken")
        return default_rows_per_shard(self.codecs, self.example)


def plan_store(
    keys: Tensor,
    views: int,
    codecs: Mapping[str, Codec],
    identity: Identity,
    rows_per_shard: int | None,
    example: Mapping[str, AnySignal] | None,
) -> StorePlan:
    """Returns the plan for these arguments of `StoreWriter`.

    Raises:
        StoreError: an argument is invalid.
    """
    if not keys.numel() or keys.is_floating_point():
        raise StoreError(f"keys: expected int64 sample keys, found {keys.dtype} {list(keys.shape)}")
    if not 1 <= views <= 9999:
        raise StoreError(f"views: expected 1 to 9,999, found {views}")
    if rows_per_shard is not None and not 1 <= rows_per_shard <= 2**24:
        raise StoreError(f"rows_per_shard: expected 1 to {2**24:,}, found {rows_per_shard}")
    for name, value in identity.items():
        if not isinstance(value, str | int | float):
            raise StoreError(f"identity: expected a string or a number for {name}, found {value!r}")
    if not codecs:
        raise StoreError("codecs: expected a codec for at least one tap, found none")
    for tap in codecs:
        if not tap or "//" in tap or tap.endswith("/"):
            raise StoreError(f"taps: {tap!r} cannot be a name in a store; use one without '//' or a '/' at its end")
    return StorePlan(torch.unique(keys.cpu().long()), views, dict(codecs), dict(identity), rows_per_shard, example)


def can_be_completed(folder: Path, keys: Tensor, views: int) -> bool:
    """Whether a run with these samples can compute all that a store lacks.

    Args:
        keys: sorted and unique.

    Raises:
        StoreError: a file of the store is damaged or missing.
    """
    manifest = read_manifest(folder)
    parts = ((segment, segment_keys(folder, number, segment)) for number, segment in enumerate(manifest.segments))
    return not any(_unreachable(segment, known, keys, max(views, manifest.views)) for segment, known in parts)


def _unreachable(segment: Segment, known: Tensor, keys: Tensor, views: int) -> int:
    """How many shards a segment lacks, if it has samples that are not among the keys; else 0."""
    missing = segment.blocks * views - len(segment.shards)
    return 0 if contains_all(keys, known) else missing


def segment_keys(folder: Path, number: int, segment: Segment) -> Tensor:
    """Returns the sorted keys of a segment, verified."""
    return open_keys(folder, number, segment).tensors["keys"]


def contains_all(known: Tensor, keys: Tensor) -> bool:
    """Whether all keys are among the known ones, which are sorted."""
    return bool(_contains(known, keys).all())


def _contains(known: Tensor, keys: Tensor) -> Tensor:
    return known[torch.searchsorted(known, keys).clamp_(max=len(known) - 1)] == keys
