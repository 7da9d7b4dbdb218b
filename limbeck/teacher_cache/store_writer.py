"""A store that is being written: its folder is ours alone, and its plan (segments, views, blocks) is on the disk first."""

from __future__ import annotations

import errno
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import torch
from torch import Tensor

from limbeck.core.signals import AnySignal
from limbeck.teacher_cache import readme
from limbeck.teacher_cache.codecs import Codec
from limbeck.teacher_cache.errors import DamagedError, DiskFullError, SignalError, StoreError
from limbeck.teacher_cache.index import open_keys
from limbeck.teacher_cache.manifest import NAME as MANIFEST
from limbeck.teacher_cache.manifest import Identity, Manifest, Segment, keys_path, read_manifest, shard_path
from limbeck.teacher_cache.row_table import Table
from limbeck.teacher_cache.shards import MappedFile, Record, claimed, flat, part_of, render
from limbeck.utils import distributed
from limbeck.utils.atomic_files import write_atomic
from limbeck.utils.folder_lock import lock_folder

BYTES_PER_SHARD, MOST_ROWS = 64_000_000, 2**18
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
BEGUN = re.compile(r"\.(manifest\.json|README\.md|keys\.safetensors|\d+-\d+\.safetensors)\.\w+")
Describe = Callable[[int], str]


@dataclass(frozen=True)
class Task:
    """One shard to be made: the signals of view `view` for `keys`, in this order."""

    segment: int
    view: int
    block: int
    keys: Tensor = field(compare=False, repr=False)


class Draft:
    """Opens a folder for writing, as a new store or as one that goes on or grows. Use it in a `with`.

    With several ranks all of them make one with the same arguments; rank 0 keeps the folder and writes the manifest.

    Args:
        folder: where; made if it does not exist.
        keys: the sample keys, int64 [any]; repeated ones count once. Those that the store does not know become a new segment.
        views: views per sample; more than before add to what is there.
        codecs: how each tap is kept.
        identity: what made the signals, name by name; a store made by something else is refused. What may grow (samples, views)
            has no place in it.
        rows_per_shard: rows of a new segment's shards; by default as many as take about 64 MB, which needs `example`.
        example: signals of a few items by tap, to learn the bytes of a row from.
        describe: names a sample for messages, e.g. by its file.

    Raises:
        FolderInUseError: another process writes there.
        IdentityError: the store there was made by something else.
        ValueError: no keys; more views of samples that are not among the keys; no way to tell the size of a shard.
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
    ) -> None:
        self.folder, self.codecs, self.describe = Path(folder), dict(codecs), describe
        self._views, self._identity = views, dict(identity)
        self._rows, self._example = rows_per_shard, example
        self._check(keys)
        self._keys = torch.unique(keys.cpu().long())
        self._bytes_per_row = 0.0
        self._shapes: dict[str, tuple[torch.dtype, tuple[int, ...]]] = {}
        self._holds = ExitStack()
        _first_rank_first(self._begin, self.folder)
        try:
            self.manifest = read_manifest(self.folder)
            self._segment_keys = [self._known_keys(*numbered) for numbered in enumerate(self.manifest.segments)]
            self._covered = [_holds_all(self._keys, known) for known in self._segment_keys]
        except BaseException:
            self.close()
            raise

    def tasks(self) -> Iterator[Task]:
        """Every shard that these keys can fill, view by view."""
        for number, segment in enumerate(self.manifest.segments):
            if self._covered[number]:
                for view in range(self.manifest.views):
                    for block in range(segment.blocks):
                        yield Task(number, view, block, self._segment_keys[number][segment.slice(block)])

    def path(self, task: Task) -> Path:
        return shard_path(self.folder, task.segment, task.view, task.block)

    def _about(self, task: Task) -> dict[str, str]:
        return self.manifest.about(task.segment, task.view, task.block)

    def on_disk(self, task: Task) -> bool:
        """Whether a whole shard stands there; what the manifest does not name yet is read and checked, and damage removed."""
        path, named = self.path(task), self.manifest.segments[task.segment].shards.get((task.view, task.block))
        if not path.exists():
            return False
        if named is not None and path.stat().st_size == named.bytes:
            return True
        try:
            part_of(MappedFile(path, claimed(path)), self.codecs, len(task.keys), self._about(task))
        except DamagedError:
            path.unlink()
            return False
        return True

    def encode(self, signals: Mapping[str, AnySignal], keys: Tensor, views: Tensor) -> dict[str, Table]:
        """The signals of these samples as rows; there may be fewer rows than samples, but as many for each tap.

        Raises:
            ValueError: a signal that cannot be stored, with tap, sample and view; other taps or shapes than the store's.
        """
        if set(signals) != set(self.codecs):
            raise StoreError(f"signals: expected taps {', '.join(sorted(self.codecs))}, found {', '.join(sorted(signals))}")
        tables = {}
        for tap, codec in self.codecs.items():
            try:
                tables[tap] = codec.encode(signals[tap]).to("cpu")
            except SignalError as error:
                if error.row >= len(keys):
                    raise StoreError(f"tap {tap!r}, row {error.row} of {len(keys)}: {error.what}") from error
                sample, view = self.describe(int(keys[error.row])), int(views[error.row])
                raise StoreError(
                    f"tap {tap!r}, sample {sample}, view {view}: {error.what}; nothing was stored for it. Look at this sample "
                    "and at the teacher's precision (float16 overflows at 65,504), or leave the sample out"
                ) from error
        rows = {tap: len(table) for tap, table in tables.items()}
        if len(set(rows.values())) != 1 or max(rows.values()) > len(keys):
            raise StoreError(f"signals: expected up to {len(keys)} rows, as many for each tap, found {rows}")
        self._same_shapes(tables)
        return tables

    def put(self, task: Task, tables: Mapping[str, Table]) -> None:
        """Write one whole shard, or nothing."""
        content = render(flat(tables), self._about(task))[0]
        self._bytes_per_row = len(content) / len(task.keys)
        with self.room():
            write_atomic(self.path(task), content)

    @contextmanager
    def room(self) -> Iterator[None]:
        """Around what writes: a full disk becomes an error that says how much is missing."""
        try:
            yield
        except OSError as error:
            if error.errno not in FULL:
                raise
            there, planned = sum(self.path(task).exists() for task in self.tasks()), sum(1 for _ in self.tasks())
            missing, free = self.missing_bytes() / 1e6, shutil.disk_usage(self.folder).free / 1e6
            raise DiskFullError(
                f"{self.folder}: the disk is full. {there} of {planned} shards are stored, whole and usable; the others need "
                f"about {missing:,.3f} MB, and {free:,.3f} MB are free. Make room and run the same command again: it goes "
                "on from here"
            ) from error

    def record(self) -> None:
        """Rank 0: name in the manifest every shard that is there."""
        for task in self.tasks():
            shards, place, path = self.manifest.segments[task.segment].shards, (task.view, task.block), self.path(task)
            if not path.exists():
                shards.pop(place, None)
                continue
            with suppress(DamagedError):  # one that was damaged since keeps its record, and is found when it is read
                shards[place] = claimed(path)
        self.manifest.write(self.folder)

    def missing_bytes(self) -> int:
        """About how many bytes the shards that are not there yet will take."""
        rows = sum(len(task.keys) for task in self.tasks() if not self.path(task).exists())
        return round(rows * self._bytes_per_row)

    def close(self) -> None:
        self._holds.close()

    def _check(self, keys: Tensor) -> None:
        if not keys.numel() or keys.is_floating_point():
            raise StoreError(f"keys: expected int64 sample keys, found {keys.dtype} {list(keys.shape)}")
        if not 1 <= self._views <= 9999:
            raise StoreError(f"views: expected 1 to 9,999, found {self._views}")
        if self._rows is not None and not 1 <= self._rows <= 2**24:
            raise StoreError(f"rows_per_shard: expected 1 to {2**24:,}, found {self._rows}")
        for name, value in self._identity.items():
            if not isinstance(value, str | int | float):
                raise StoreError(f"identity: expected a string or a number for {name}, found {value!r}")
        if not self.codecs:
            raise StoreError("codecs: expected a codec for at least one tap, found none")
        for tap in self.codecs:
            if not tap or "//" in tap or tap.endswith("/"):
                raise StoreError(f"taps: {tap!r} cannot be a name in a store; use one without '//' or a '/' at its end")

    def _begin(self) -> None:
        """Rank 0: take the folder, clear what a killed process left half written, and put the plan on the disk."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._holds.enter_context(lock_folder(self.folder))
        try:
            remove_parts(self.folder)
            if (self.folder / MANIFEST).exists():
                manifest = read_manifest(self.folder)
                manifest.require(self.folder, self._identity, self.codecs)
            else:
                manifest = Manifest(self._identity, self.codecs, self._views)
            self._extend(manifest)
        except BaseException:
            self._holds.close()
            raise

    def _extend(self, manifest: Manifest) -> None:
        """Plan for the views and samples that are new; what is there stays as it is."""
        new, before = self._keys, manifest.text()
        for number, segment in enumerate(manifest.segments):
            known = self._known_keys(number, segment)
            lacking = segment.blocks * max(self._views, manifest.views) - len(segment.shards)
            if lacking and not _holds_all(self._keys, known):
                raise StoreError(
                    f"{self.folder}: {lacking} shards are to be made for {self._views} views, and they hold samples that this "
                    "run does not have. Give all samples of the store, or use another folder"
                )
            new = new[~_inside(known, new)]
        manifest.views = max(manifest.views, self._views)
        if len(new):
            manifest.segments.append(self._new_segment(len(manifest.segments), new))
        page = readme.text(self.codecs).encode()
        manifest.readme = Record(sha256(page).hexdigest(), len(page))
        if manifest.text() != before or not (self.folder / MANIFEST).exists():
            write_atomic(self.folder / readme.NAME, page)
            manifest.write(self.folder)

    def _new_segment(self, number: int, keys: Tensor) -> Segment:
        content, record = render({"keys": keys})
        path = keys_path(self.folder, number)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, content)
        return Segment(len(keys), self._rows or self._rows_by_example(), record)

    def _rows_by_example(self) -> int:
        if self._example is None:
            raise StoreError("rows_per_shard: give it, or an example of the signals to learn the size of a row from")
        return rows_by_size(self.codecs, self._example)

    def _known_keys(self, number: int, segment: Segment) -> Tensor:
        return open_keys(self.folder, number, segment).tensors["keys"]

    def _same_shapes(self, tables: Mapping[str, Table]) -> None:
        """A store holds signals of one shape per tap, whoever wrote its first shard."""
        found = {name: (tensor.dtype, tuple(tensor.shape[1:])) for name, tensor in flat(tables).items()}
        if not self._shapes:
            self._shapes = self._stored_shapes() or found
        for name, shape in found.items():
            if self._shapes[name] != shape:
                (old_type, old), (new_type, new) = self._shapes[name], shape
                raise StoreError(
                    f"{name}: {new_type} {list(new)} per item, where this store holds {old_type} {list(old)}; "
                    "a tap gives signals of one shape"
                )

    def _stored_shapes(self) -> dict[str, tuple[torch.dtype, tuple[int, ...]]]:
        for task in self.tasks():
            if self.path(task).exists():
                file = MappedFile(self.path(task), claimed(self.path(task)))
                return {name: (tensor.dtype, tuple(tensor.shape[1:])) for name, tensor in file.tensors.items()}
        return {}


def rows_by_size(codecs: Mapping[str, Codec], example: Mapping[str, AnySignal]) -> int:
    """How many rows of these taps make a shard of about 64 MB, going by the signals of a few items."""
    tables = [codec.encode(example[tap]) for tap, codec in codecs.items()]
    size = sum(tensor.nbytes for table in tables for tensor in table.tensors().values())
    return max(1, min(MOST_ROWS, BYTES_PER_SHARD * len(tables[0]) // max(1, size)))


def remove_parts(folder: Path) -> list[Path]:
    """Delete what writers that were killed left half written; returns what that was."""
    parts = parts_of_files(folder)
    for path in parts:
        path.unlink(missing_ok=True)
    return parts


def parts_of_files(folder: Path) -> list[Path]:
    """The files that `write_atomic` had begun when its process ended."""
    places = (folder, folder / "journal", *sorted((folder / "segments").glob("*")))
    return [path for place in places if place.is_dir() for path in sorted(place.iterdir()) if BEGUN.fullmatch(path.name)]


def _inside(known: Tensor, keys: Tensor) -> Tensor:
    """Which keys are among the known ones, which are sorted."""
    return known[torch.searchsorted(known, keys).clamp_(max=len(known) - 1)] == keys


def _holds_all(known: Tensor, keys: Tensor) -> bool:
    return bool(_inside(known, keys).all())


def _first_rank_first(action: Callable[[], None], folder: Path) -> None:
    """Let rank 0 do something while the others wait; where it fails, all fail."""
    error: Exception | None = None
    if distributed.rank() == 0:
        try:
            action()
        except Exception as raised:
            error = raised
    failed = distributed.any_process(error is not None)
    if error is not None:
        raise error
    if failed:
        raise StoreError(f"{folder}: rank 0 could not open it for writing; its message says why")
