"""WebDataset shards: tar files whose members with one name before the first dot are the parts of one sample."""

from __future__ import annotations

import json
import re
import tarfile
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypeAlias

import pyarrow as pa  # type: ignore[import-untyped]

from limbeck.data.loading.columns import AUDIO_SUFFIXES
from limbeck.data.loading.image_folder import IMAGE_SUFFIXES, is_hidden
from limbeck.data.loading.raw_table import TableSource, join_rows
from limbeck.utils.progress_bar import show_progress

OnError: TypeAlias = Literal["raise", "skip"]
MEMBER = pa.struct([("path", pa.string()), ("name", pa.string()), ("offset", pa.int64()), ("length", pa.int64())])
"""Cells of images and sounds: the fields of `ArchiveMember`."""

COMPRESSED = {b"\x1f\x8b": "gzip", b"BZ": "bzip2", b"\xfd7": "xz", b"\x28\xb5": "zstd"}  # by the first two bytes
COMPRESSED_SUFFIXES = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
SHOWN = 4  # kinds of members in a message
_BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}")


def is_shards(name: str) -> bool:
    """Whether a name is that of a shard, or a pattern of several: `train-{000..147}.tar`, `train-*.tar`."""
    return name.lower().endswith((".tar", *COMPRESSED_SUFFIXES))


def is_shard_pattern(name: str) -> bool:
    """Whether a name stands for several shards, so that there is no file of it."""
    return is_shards(name) and (_BRACES.search(name) is not None or bool(set("*?[") & set(name)))


def expand_shards(pattern: str) -> list[Path]:
    """The files of a pattern in order; `{000..147}` counts, `*`, `?` and `[…]` match what is there.

    Raises:
        FileNotFoundError: no file matches, or one that is counted is missing.
    """
    counted = _count(str(Path(pattern).expanduser()))
    found = [path for each in counted for path in _matching(each)]
    missing = [path for path in found if not path.is_file()]
    if missing or not found:
        absent = str(missing[0]) if missing else pattern
        raise FileNotFoundError(f"no such shard: {absent}" + (f", nor {len(missing) - 1} more" if len(missing) > 1 else ""))
    return found


def _count(pattern: str) -> list[str]:
    match = _BRACES.search(pattern)
    if match is None:
        return [pattern]
    first, last = match.groups()
    numbers = range(int(first), int(last) + 1)
    return list(
        chain.from_iterable(
            _count(f"{pattern[: match.start()]}{number:0{len(first)}d}{pattern[match.end() :]}") for number in numbers
        )
    )


def _matching(pattern: str) -> list[Path]:
    path = Path(pattern)
    if path.is_file() or not set("*?[") & set(path.name):
        return [path]
    return sorted(path.parent.glob(path.name))


def open_shards(shards: Sequence[Path], origin: str, class_names: list[str] | None, on_error: OnError = "raise") -> TableSource:
    """The samples of shards as rows. Of images and sounds only their places in the shards are read:

    - `x.jpg`, `.png`, `.webp`, …: the column `image`; `x.mask.png`: the column `mask`
    - `x.wav`, `.flac`, `.ogg`: `audio`
    - `x.cls`: `label`, a class number or the name of a class
    - `x.txt`: `text`; `x.caption.txt`: `caption`
    - `x.json`: a column for each of its keys

    A sample that lacks a part which others have gets an empty cell; members of other kinds are left out. A warning counts both.

    Args:
        origin: the name of all of them, for messages.
        class_names: of the numbers of classes, if they are known.
        on_error: "skip" reads a shard that is cut off up to there, with a warning.

    Raises:
        ValueError: a shard that is compressed or cut off, or samples that are not in this form; when rows are read.
    """
    read_shard = cache(partial(_read_shard, on_error=on_error))

    def batches(_: int | None) -> Iterator[pa.Table]:
        return (read_shard(shard).samples for shard in shards)

    def read(names: Sequence[str] | None) -> pa.Table:
        found = [read_shard(shard) for shard in show_progress(shards, "reading the headers of shards", len(shards))]
        samples = join_rows([shard.samples for shard in found], origin)
        _warn(origin, samples, sum((shard.others for shard in found), Counter()))
        return samples if names is None else samples.select(list(names))

    return TableSource(batches, read, origin, shards[0].parent, class_names, read_shard(shards[0]).features)


@dataclass(frozen=True)
class _Shard:
    """What is known of a shard: a row for each sample, the types of its images and sounds, and how many members of other kinds
    there are."""

    samples: pa.Table
    features: dict[str, Any]
    others: Counter[str]


def _read_shard(path: Path, on_error: OnError) -> _Shard:
    parts: dict[str, dict[str, Any]] = {}
    values: dict[str, dict[str, Any]] = {}  # of JSON members, which other members go before
    features: dict[str, Any] = {}
    others: Counter[str] = Counter()
    last = None
    with path.open("rb") as file:
        for member in _members(path, on_error):
            key, kind = _key(member.name)
            if key != last and key in parts:
                raise ValueError(f"{path}: the parts of the sample {key!r} do not follow one another; write the shard again")
            last, row = key, parts.setdefault(key, {})
            if kind == "json":
                values[key] = _read_values(path, member, file)
            elif (name := _column(kind)) is None:
                others[kind] += 1
            elif name in row:
                raise ValueError(f"{path}: the sample {key!r} has {name!r} twice, the second time in {member.name}")
            elif (feature := _feature(kind)) is not None:
                features[name] = {"_type": feature}
                row[name] = {"path": str(path), "name": member.name, "offset": member.offset_data, "length": member.size}
            else:
                row[name] = _read_text(path, member, file).strip()
    rows = [cells for key, row in parts.items() if (cells := {**values.get(key, {}), **row})]
    names = dict.fromkeys(name for row in rows for name in row)
    columns = {name: _array([row.get(name) for row in rows], name in features) for name in names}
    if "label" in columns and "label" not in features:
        columns["label"] = _as_classes(columns["label"])
    return _Shard(pa.table(columns), features, others)


def _members(path: Path, on_error: OnError) -> Iterator[tarfile.TarInfo]:
    """The files of a shard, without those that systems leave behind.

    Raises:
        ValueError: a shard that is compressed, cut off, or no tar file.
    """
    with path.open("rb") as file:
        start = file.read(tarfile.BLOCKSIZE)
        if b"ustar" not in start and (kind := COMPRESSED.get(start[:2])) is not None:
            raise ValueError(f"{path}: it is compressed ({kind}), and samples are read from their places; decompress it")
    end = 0
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                archive.members = []  # type: ignore[attr-defined]  # it would keep all of them
                end = member.offset_data + -(-member.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
                if member.issparse():
                    raise ValueError(f"{path}: {member.name} is stored as a sparse file; write the shard without --sparse")
                if member.isfile() and not any(map(is_hidden, Path(member.name).parts)):
                    yield member
        with path.open("rb") as file:
            file.seek(end)
            if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):  # what a tar file ends with
                raise tarfile.ReadError("its end is missing")
    except tarfile.TarError as error:
        if on_error == "raise" or not end:
            raise ValueError(f"{path}: the shard is damaged or cut off ({error}); download or write it again") from error
        warnings.warn(f"{path}: the shard is damaged or cut off ({error}); what comes after is left out", stacklevel=2)


def _key(name: str) -> tuple[str, str]:
    """The name of a sample, folder included, and the kind of its part: what follows the first dot of the file."""
    folder, _, file = name.rpartition("/")
    stem, _, kind = file.partition(".")
    return f"{folder}/{stem}" if folder else stem, kind.lower()


def _column(kind: str) -> str | None:
    """The column of a part by its kind, such as `jpg`, `mask.png` or `cls`; None: it is not read."""
    prefix, _, suffix = kind.rpartition(".")
    usual = {"Image": "image", "Audio": "audio"}.get(_feature(kind) or "", {"cls": "label", "txt": "text"}.get(suffix))
    return prefix or usual if usual else None


def _feature(kind: str) -> str | None:
    suffix = f".{kind.rpartition('.')[2]}"
    return "Image" if suffix in IMAGE_SUFFIXES else "Audio" if suffix in AUDIO_SUFFIXES else None


def _read_text(path: Path, member: tarfile.TarInfo, file: BinaryIO) -> str:
    file.seek(member.offset_data)
    try:
        return file.read(member.size).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: {member.name} is no UTF-8: {error}") from error


def _read_values(path: Path, member: tarfile.TarInfo, file: BinaryIO) -> dict[str, Any]:
    text = _read_text(path, member, file)
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: {member.name} cannot be read as JSON: {error}") from error
    if not isinstance(values, dict):
        raise ValueError(f'{path}: {member.name} holds {text:.60}; expected an object such as {{"label": …}}')
    return {name: json.dumps(value) if isinstance(value, dict) else value for name, value in values.items()}


def _array(cells: list[Any], is_member: bool) -> pa.Array:
    """The cells of a column; values of several types as JSON."""
    try:
        return pa.array(cells, MEMBER if is_member else None)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        return pa.array([None if cell is None else json.dumps(cell) for cell in cells])


def _as_classes(cells: pa.Array) -> pa.Array:
    """Numbers, if all cells are."""
    try:
        return cells.cast(pa.int64())
    except pa.ArrowInvalid:
        return cells


def _warn(origin: str, samples: pa.Table, others: Counter[str]) -> None:
    lacking = [(name, cells.null_count) for name, cells in zip(samples.column_names, samples.columns, strict=True)]
    listed = ", ".join(f"{count:,} without {name!r}" for name, count in lacking if count)
    if listed:
        warnings.warn(f"{origin}: of {samples.num_rows:,} samples {listed}", stacklevel=2)
    if others:
        counted = ", ".join(f"{count:,} .{kind}" for kind, count in others.most_common(SHOWN))
        warnings.warn(f"{origin}: members that are not read: {counted}", stacklevel=2)
