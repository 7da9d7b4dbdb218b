"""Opens a store for writing and writes its shards."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from limbeck.core.signals import AnySignal
from limbeck.teacher_cache.codecs import Codec
from limbeck.teacher_cache.codecs.row_table import RowTable
from limbeck.teacher_cache.errors import CorruptFileError, DiskFullError, StoreError
from limbeck.teacher_cache.store.file_format import serialize, stored_record
from limbeck.teacher_cache.store.manifest import Identity, read_manifest, shard_path
from limbeck.teacher_cache.store.mapped_file import MappedFile
from limbeck.teacher_cache.store.partial_files import remove_partial_files
from limbeck.teacher_cache.store.plan import StorePlan, contains_all, plan_store, segment_keys
from limbeck.teacher_cache.store.row_encoder import Describe, RowEncoder, Shapes
from limbeck.teacher_cache.store.row_group import read_row_group, tensors_of
from limbeck.utils import distributed
from limbeck.utils.atomic_files import write_atomic
from limbeck.utils.disk_full import explain_disk_full, is_disk_full
from limbeck.utils.folder_lock import FolderInUseError, ReadOnlyFolderError, lock_folder


@dataclass(frozen=True)
class PendingShard:
    """A shard to be written: the signals of view `view` for `keys`, in this order."""

    segment: int
    view: int
    block: int
    keys: Tensor = field(compare=False, repr=False)


class StoreWriter:
    """Opens a folder for writing, as a new store or to continue or extend an existing one. Close it when done.

    With several processes all of them open it with the same arguments; rank 0 locks the folder and writes the manifest.

    Args:
        folder: the folder of the store, created if necessary.
        keys: the sample keys, int64 [any]; duplicates count once. Those that the store does not know become a new segment.
        views: views of each sample; more than before extend the store.
        codecs: the codec of each tap.
        identity: what the signals depend on, name by name; a store with another identity is refused. What may grow (samples,
            views) does not belong here.
        rows_per_shard: rows of a new segment's shards; by default as many as take about 64 MB, which needs `example`.
        example: signals of a few items by tap, from which the size of a row is taken.
        describe: names a sample in messages, e.g. by its file.
        read_only: neither lock the folder nor write to it; the store must exist.

    Raises:
        FolderLockError: another process writes there, or the folder cannot be written.
        DiskFullError: the disk has no room for the plan.
        IdentityError: the store has another identity.
        StoreError: an invalid argument; more views of samples that are not among the keys; no size of a shard.
    """

    def __init__(
        self,
        folder: str | Path,
        keys: Tensor,
        views: int,
        codecs: Mapping[str, Codec],
        identity: Identity,
        *,
        rows_per_shard: int | None = None,
        example: Mapping[str, AnySignal] | None = None,
        describe: Describe = str,
        read_only: bool = False,
    ) -> None:
        self.folder, self.codecs, self.describe = Path(folder), dict(codecs), describe
        plan = plan_store(keys, views, codecs, identity, rows_per_shard, example)
        self._encoder = RowEncoder(self.codecs, describe, self._stored_shapes)
        self._bytes_per_row = 0.0
        self._lock = ExitStack()
        if not read_only:
            _run_on_rank_zero(lambda: self._prepare(plan), self.folder)
        try:
            self.manifest = read_manifest(self.folder)
            self.manifest.require_identity(self.folder, identity, codecs)
            self._segment_keys = [segment_keys(self.folder, *numbered) for numbered in enumerate(self.manifest.segments)]
            self._covered = [contains_all(plan.keys, known) for known in self._segment_keys]
        except BaseException:
            self.close()
            raise

    def planned_shards(self) -> Iterator[PendingShard]:
        """Yields every shard that these keys can fill, view by view."""
        for number, segment in enumerate(self.manifest.segments):
            if self._covered[number]:
                for view in range(self.manifest.views):
                    for block in range(segment.blocks):
                        yield PendingShard(number, view, block, self._segment_keys[number][segment.slice(block)])

    def path(self, shard: PendingShard) -> Path:
        """Returns the file of a shard."""
        return shard_path(self.folder, shard.segment, shard.view, shard.block)

    def is_written(self, shard: PendingShard, *, verify: bool = False) -> bool:
        """Whether the shard is on the disk. A corrupt one is deleted, with a warning if the manifest names it.

        Args:
            verify: whether to read all of it; else one that the manifest names is compared by its size only.
        """
        path, named = self.path(shard), self.manifest.segments[shard.segment].shards.get((shard.view, shard.block))
        if not path.exists():
            return False
        if named is not None and path.stat().st_size == named.bytes and not verify:
            return True
        try:
            read_row_group(MappedFile(path, named or stored_record(path)), self.codecs, len(shard.keys), self._metadata(shard))
        except CorruptFileError as error:
            if named is not None:
                warnings.warn(f"{path}: {error.what}; it is deleted and computed again", stacklevel=2)
            path.unlink()
            return False
        return True

    def encode(self, signals: Mapping[str, AnySignal], keys: Tensor, views: Tensor) -> dict[str, RowTable]:
        """Returns the signals of these samples as rows; see `RowEncoder.encode`."""
        return self._encoder.encode(signals, keys, views)

    def write_shard(self, shard: PendingShard, tables: Mapping[str, RowTable]) -> None:
        """Write one shard atomically.

        Raises:
            DiskFullError: see `write_file`.
        """
        content = serialize(tensors_of(tables), self._metadata(shard))[0]
        self._bytes_per_row = len(content) / len(shard.keys)
        self.write_file(self.path(shard), content)

    def write_file(self, path: Path, content: bytes) -> None:
        """Write a file of the store atomically.

        Raises:
            DiskFullError: the disk is full; the message says how much space is missing.
        """
        with self._disk_full_as_error():
            path.parent.mkdir(exist_ok=True)
            write_atomic(path, content)

    def update_manifest(self) -> None:
        """On rank 0: record every shard on the disk in the manifest."""
        for shard in self.planned_shards():
            records, position, path = self.manifest.segments[shard.segment].shards, (shard.view, shard.block), self.path(shard)
            if not path.exists():
                records.pop(position, None)
                continue
            with suppress(CorruptFileError):  # a corrupt one keeps its old record; reading it raises the error
                records[position] = stored_record(path)
        with explain_disk_full(self.folder):
            self.manifest.write(self.folder)

    def close(self) -> None:
        """Release the lock of the folder."""
        self._lock.close()

    def _prepare(self, plan: StorePlan) -> None:
        """On rank 0: lock the folder, delete half-written files of a killed process, and write the plan."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock.enter_context(lock_folder(self.folder))
        try:
            remove_partial_files(self.folder)
            with explain_disk_full(self.folder):
                plan.write(self.folder)
        except BaseException:
            self._lock.close()
            raise

    def _metadata(self, shard: PendingShard) -> dict[str, str]:
        return self.manifest.shard_metadata(shard.segment, shard.view, shard.block)

    @contextmanager
    def _disk_full_as_error(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if not is_disk_full(error):
                raise
            shards = [(self.path(shard).exists(), len(shard.keys)) for shard in self.planned_shards()]
            missing = sum(rows for written, rows in shards if not written) * self._bytes_per_row / 1e6
            free = shutil.disk_usage(self.folder).free / 1e6
            raise DiskFullError(
                f"{self.folder}: the disk is full. {sum(written for written, _ in shards)} of {len(shards)} shards are stored, "
                f"complete and usable; the others need about {missing:,.3f} MB, and {free:,.3f} MB are free. Free some space "
                "and run the same command again: it continues from here"
            ) from error

    def _stored_shapes(self) -> Shapes:
        for shard in self.planned_shards():
            if self.path(shard).exists():
                file = MappedFile(self.path(shard), stored_record(self.path(shard)))
                return {name: (tensor.dtype, tuple(tensor.shape[1:])) for name, tensor in file.tensors.items()}
        return {}


def _run_on_rank_zero(action: Callable[[], None], folder: Path) -> None:
    """Run `action` on rank 0 while the other processes wait; if it fails, all raise."""
    error: Exception | None = None
    if distributed.rank() == 0:
        try:
            action()
        except Exception as raised:
            error = raised
    kinds = (FolderInUseError, ReadOnlyFolderError, StoreError)
    failed = [distributed.any_process(error is not None and isinstance(error, kind)) for kind in kinds[:-1]]
    failed.append(distributed.any_process(error is not None))
    if error is not None:
        raise error
    for kind, found in zip(kinds, failed, strict=True):
        if found:
            raise kind(f"{folder}: rank 0 could not open it for writing; see the message of rank 0")
