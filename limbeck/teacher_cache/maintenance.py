"""What is in a store, whether it is whole, and what lies in it that no manifest names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from limbeck.teacher_cache import readme
from limbeck.teacher_cache.errors import DamagedError, StoreError
from limbeck.teacher_cache.manifest import NAME, Manifest, keys_path, read_manifest, segment_folder, shard_path
from limbeck.teacher_cache.shards import Record, bytes_by_tensor, claimed, verify
from limbeck.teacher_cache.store_writer import parts_of_files
from limbeck.utils.folder_lock import lock_folder

Check = tuple[Path, Callable[[], None]]


@dataclass(frozen=True)
class Info:
    """What `info` finds. Bytes are those of the files; `rows` counts each sample once per view that is stored.

    Attributes:
        by_part: bytes per item and view of each tensor, of the headers, and of the keys and the manifest, which are shared by
            all views.
        per_view: bytes that one more view of all samples would take; None where nothing is stored yet.
        journal: parts that a run wrote as it went and that are not shards yet.
    """

    identity: Mapping[str, str | int | float | bool]
    taps: Mapping[str, str]
    samples: int
    views: int
    segments: int
    rows: int
    total: int
    by_part: Mapping[str, float]
    per_view: int | None
    journal: int

    @property
    def complete(self) -> bool:
        return self.rows == self.samples * self.views

    @property
    def per_item(self) -> float | None:
        """Bytes per item and view, index and manifest included; None where nothing is stored yet."""
        return self.total / self.rows if self.rows else None


def info(folder: str | Path) -> Info:
    """What the store in `folder` holds and costs; reads headers only.

    Raises:
        StoreError: no store there, or a damaged one.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    sizes = {"keys": sum(part.keys.bytes for part in manifest.segments), "manifest": (folder / NAME).stat().st_size}
    sizes["manifest"] += manifest.readme.bytes
    rows = shards = 0
    for path, record, count in _shards(folder, manifest):
        found = bytes_by_tensor(path)
        rows, shards = rows + count, shards + record.bytes
        for name, size in {**found, "headers": record.bytes - sum(found.values())}.items():
            sizes[name] = sizes.get(name, 0) + size
    samples = sum(part.rows for part in manifest.segments)
    return Info(
        identity=manifest.identity,
        taps={tap: str(codec) for tap, codec in manifest.codecs.items()},
        samples=samples,
        views=manifest.views,
        segments=len(manifest.segments),
        rows=rows,
        total=sum(sizes.values()),
        by_part={name: size / rows for name, size in sorted(sizes.items())} if rows else {},
        per_view=round(shards / rows * samples) if rows else None,
        journal=len(_journal(folder)),
    )


def check(folder: str | Path, progress: bool = True) -> list[str]:
    """Read every file of the store and compare it with its checksum; returns one message per damaged or missing file.

    Args:
        progress: show a bar on standard error.
    """
    folder = Path(folder)
    try:
        manifest = read_manifest(folder)
    except StoreError as error:
        return [str(error)]
    found = []
    checks = list(_checks(folder, manifest))
    for path, look in _with_bar(checks, folder) if progress else checks:
        try:
            look()
        except (DamagedError, OSError) as error:
            found.append(str(error) if isinstance(error, DamagedError) else f"{path}: {error}")
    return found


def prune(folder: str | Path, remove: bool = False) -> list[Path]:
    """What no manifest names: half-written files, shards of a build that was killed (resuming it would use them), segments that
    were only begun, and the parts of a journal that became shards. Files that no store writes are not touched.

    Args:
        remove: delete them too; without it they are only listed.

    Raises:
        FolderInUseError: a process writes there.
        StoreError: no store there, or a damaged manifest.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    with lock_folder(folder):
        named = {keys_path(folder, number) for number in range(len(manifest.segments))}
        named |= {path for path, _, _ in _shards(folder, manifest)}
        loose = [path for path in sorted(folder.glob("segments/[0-9]*/*.safetensors")) if path not in named]
        done = _journal(folder) if _complete(manifest) else []
        found = [*parts_of_files(folder), *(path for path in loose if not path.name.startswith(".")), *done]
        if remove:
            for path in found:
                path.unlink()
            for place in (folder / "journal", *(segment_folder(folder, n) for n in range(len(manifest.segments), 1000))):
                if place.is_dir() and not any(place.iterdir()):
                    place.rmdir()
    return found


def _shards(folder: Path, manifest: Manifest) -> Iterator[tuple[Path, Record, int]]:
    """Each shard that the manifest names, and its rows."""
    for number, segment in enumerate(manifest.segments):
        for (view, block), record in sorted(segment.shards.items()):
            yield shard_path(folder, number, view, block), record, segment.rows_in(block)


def _checks(folder: Path, manifest: Manifest) -> Iterator[Check]:
    """Every file, and what finds it damaged."""
    yield folder / readme.NAME, lambda: _same_page(folder / readme.NAME, manifest.readme)
    for number, segment in enumerate(manifest.segments):
        path = keys_path(folder, number)
        yield path, lambda path=path, record=segment.keys: verify(path, record)  # type: ignore[misc]
    for path, record, _ in _shards(folder, manifest):
        yield path, lambda path=path, record=record: verify(path, record)  # type: ignore[misc]
    for path in _journal(folder):
        yield path, lambda path=path: verify(path, claimed(path))  # type: ignore[misc]


def _same_page(path: Path, record: Record) -> None:
    if not path.is_file() or sha256(path.read_bytes()).hexdigest() != record.sha256:
        raise DamagedError(path, "it is not the page that was written")


def _with_bar(checks: list[Check], folder: Path) -> Iterator[Check]:
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        yield from bar.track(checks, description=f"checking {folder.name}")


def _journal(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.glob("journal/*.safetensors")) if not path.name.startswith(".")]


def _complete(manifest: Manifest) -> bool:
    return all(len(part.shards) == part.blocks * manifest.views for part in manifest.segments)
