"""Describes, verifies and cleans up stores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import torch

from limbeck.teacher_cache.errors import CorruptFileError, StoreError
from limbeck.teacher_cache.store import readme
from limbeck.teacher_cache.store.file_format import FileRecord, bytes_by_tensor, stored_record, verify_file
from limbeck.teacher_cache.store.journal import journal_files, journal_folder
from limbeck.teacher_cache.store.manifest import NAME, Manifest, keys_path, read_manifest, segment_folder, shard_path
from limbeck.teacher_cache.store.partial_files import find_partial_files
from limbeck.utils.folder_lock import lock_folder

Check = tuple[Path, Callable[[], None]]


@dataclass(frozen=True)
class StoreInfo:
    """Content and size of a store.

    Attributes:
        identity: what the signals depend on.
        taps: the codec of each tap.
        samples: the number of samples.
        views: the number of views of each sample in the complete store.
        segments: the number of segments.
        rows: stored rows; a sample counts once for each view. Rows that two processes have computed at once count twice.
        journal_rows: those of them that are in the journal.
        total: size of all files in bytes.
        by_part: bytes per item and view of each tensor, of the headers, of the keys and of the manifest.
        per_view: bytes of one more view of all samples; None if nothing is stored yet.
        journal: journal files that are not shards yet.
    """

    identity: Mapping[str, str | int | float | bool]
    taps: Mapping[str, str]
    samples: int
    views: int
    segments: int
    rows: int
    journal_rows: int
    total: int
    by_part: Mapping[str, float]
    per_view: int | None
    journal: int

    @property
    def complete(self) -> bool:
        """Whether every sample is stored in every view, in shards."""
        return self.rows - self.journal_rows == self.samples * self.views

    @property
    def per_item(self) -> float | None:
        """Bytes per item and view, keys and manifest included; None if nothing is stored yet."""
        return self.total / self.rows if self.rows else None


def store_info(folder: str | Path) -> StoreInfo:
    """Returns content and size of the store in `folder`; reads headers only.

    Raises:
        StoreError: no store, or a corrupt one.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    sizes = {"keys": sum(part.keys.bytes for part in manifest.segments), "manifest": (folder / NAME).stat().st_size}
    sizes["manifest"] += manifest.readme.bytes
    in_shards = [(bytes_by_tensor(path), record.bytes, count) for path, record, count in _shards(folder, manifest)]
    found = [(bytes_by_tensor(path), path.stat().st_size) for path in journal_files(folder)]
    in_journal = [(parts, size, parts["keys"] // torch.int64.itemsize) for parts, size in found]
    for parts, size, _ in (*in_shards, *in_journal):
        for name, part in {**parts, "headers": size - sum(parts.values())}.items():
            sizes[name] = sizes.get(name, 0) + part
    journal_rows = sum(count for _, _, count in in_journal)
    rows = sum(count for _, _, count in in_shards) + journal_rows
    stored = sum(size for _, size, _ in (*in_shards, *in_journal))
    samples = sum(part.rows for part in manifest.segments)
    return StoreInfo(
        identity=manifest.identity,
        taps={tap: str(codec) for tap, codec in manifest.codecs.items()},
        samples=samples,
        views=manifest.views,
        segments=len(manifest.segments),
        rows=rows,
        journal_rows=journal_rows,
        total=sum(sizes.values()),
        by_part={name: size / rows for name, size in sorted(sizes.items())} if rows else {},
        per_view=round(stored / rows * samples) if rows else None,
        journal=len(in_journal),
    )


def check_store(folder: str | Path, progress: bool = True) -> list[str]:
    """Verifies every file of a store by its checksum; returns one message for each corrupt or missing file.

    Args:
        folder: the folder of the store.
        progress: show a progress bar on standard error.
    """
    folder = Path(folder)
    try:
        manifest = read_manifest(folder)
    except StoreError as error:
        return [str(error)]
    found = []
    checks = list(_checks(folder, manifest))
    for path, check in _with_bar(checks, folder) if progress else checks:
        try:
            check()
        except (CorruptFileError, OSError) as error:
            found.append(str(error) if isinstance(error, CorruptFileError) else f"{path}: {error}")
    return found


def prune_store(folder: str | Path, remove: bool = False) -> list[Path]:
    """Returns the files in a store that its manifest does not name.

    These are half-written files, shards of a build that was killed (continuing it would use them), segments that were only
    begun, and journal files that became shards. Other files are not listed.

    Args:
        folder: the folder of the store.
        remove: delete them too.

    Raises:
        FolderInUseError: a process writes there.
        StoreError: no store, or a corrupt manifest.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    with lock_folder(folder):
        named = {keys_path(folder, number) for number in range(len(manifest.segments))}
        named |= {path for path, _, _ in _shards(folder, manifest)}
        unnamed = [path for path in sorted(folder.glob("segments/[0-9]*/*.safetensors")) if path not in named]
        compacted = journal_files(folder) if _is_complete(manifest) else []
        found = [*find_partial_files(folder), *(path for path in unnamed if not path.name.startswith(".")), *compacted]
        if remove:
            for path in found:
                path.unlink()
            later_segments = (segment_folder(folder, number) for number in range(len(manifest.segments), 1000))
            for place in (journal_folder(folder), *later_segments):
                if place.is_dir() and not any(place.iterdir()):
                    place.rmdir()
    return found


def _shards(folder: Path, manifest: Manifest) -> Iterator[tuple[Path, FileRecord, int]]:
    """Each shard that the manifest names: path, record and rows."""
    for number, segment in enumerate(manifest.segments):
        for (view, block), record in sorted(segment.shards.items()):
            yield shard_path(folder, number, view, block), record, segment.rows_in(block)


def _checks(folder: Path, manifest: Manifest) -> Iterator[Check]:
    """Every file with the function that verifies it."""
    yield folder / readme.NAME, lambda: _check_readme(folder / readme.NAME, manifest.readme)
    for number, segment in enumerate(manifest.segments):
        path = keys_path(folder, number)
        yield path, lambda path=path, record=segment.keys: verify_file(path, record)  # type: ignore[misc]
    for path, record, _ in _shards(folder, manifest):
        yield path, lambda path=path, record=record: verify_file(path, record)  # type: ignore[misc]
    for path in journal_files(folder):
        yield path, lambda path=path: verify_file(path, stored_record(path))  # type: ignore[misc]


def _check_readme(path: Path, record: FileRecord) -> None:
    if not path.is_file() or sha256(path.read_bytes()).hexdigest() != record.sha256:
        raise CorruptFileError(path, "it is not the page that was written")


def _with_bar(checks: list[Check], folder: Path) -> Iterator[Check]:
    from rich.progress import Progress

    from limbeck.utils.terminal import error_output, is_hidden, shown

    console = error_output()
    with Progress(console=console, transient=True, disable=is_hidden(console)) as bar:
        yield from bar.track(checks, description=f"checking {shown(folder.name)}")


def _is_complete(manifest: Manifest) -> bool:
    return all(len(part.shards) == part.blocks * manifest.views for part in manifest.segments)
