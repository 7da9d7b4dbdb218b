"""`manifest.json`: the identity of a store, its codecs and segments, and the checksum of every file, its own included."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from limbeck.teacher_cache.codecs import Codec, codec_from
from limbeck.teacher_cache.errors import CorruptFileError, IdentityError, StoreError
from limbeck.teacher_cache.store.file_format import CHECKSUM_PLACEHOLDER, FileRecord, embed_checksum
from limbeck.utils.atomic_files import write_atomic

NAME = "manifest.json"
FORMAT = 1
Identity = Mapping[str, str | int | float | bool]
ShardId = tuple[int, int]  # view, block of rows


@dataclass
class Segment:
    """Samples that were added to the store together: their sorted keys, and the shards of their rows.

    The row of a sample is its position among the segment's keys; block b holds rows b · rows_per_shard and on.
    """

    rows: int
    rows_per_shard: int
    keys: FileRecord
    shards: dict[ShardId, FileRecord] = field(default_factory=dict)

    @property
    def blocks(self) -> int:
        """The number of blocks."""
        return -(-self.rows // self.rows_per_shard)

    def rows_in(self, block: int) -> int:
        """Returns the number of rows of a block."""
        return min(self.rows_per_shard, self.rows - block * self.rows_per_shard)

    def slice(self, block: int) -> slice:
        """Returns the rows of a block."""
        return slice(block * self.rows_per_shard, min(self.rows, (block + 1) * self.rows_per_shard))


@dataclass
class Manifest:
    """The content of `manifest.json`. `views` is the number of views of each sample that a complete store holds."""

    identity: dict[str, str | int | float | bool]
    codecs: dict[str, Codec]
    views: int
    segments: list[Segment] = field(default_factory=list)
    readme: FileRecord = field(default_factory=lambda: FileRecord("", 0))

    def text(self) -> str:
        """Returns the text of the file: JSON with sorted keys and the checksum of the text in it."""
        segments = [
            {**asdict(part), "shards": {shard_name(*p): asdict(r) for p, r in sorted(part.shards.items())}}
            for part in self.segments
        ]
        content = {
            "checksum": CHECKSUM_PLACEHOLDER.decode(),
            "format": FORMAT,
            "identity": self.identity,
            "taps": {tap: codec.spec() for tap, codec in self.codecs.items()},
            "views": self.views,
            "readme": asdict(self.readme),
            "segments": segments,
        }
        text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
        return embed_checksum(text.encode())[0].decode()

    def write(self, folder: Path) -> None:
        """Write the file atomically."""
        write_atomic(folder / NAME, self.text().encode())

    def shard_metadata(self, segment: int, view: int, block: int) -> dict[str, str]:
        """Returns the metadata of a shard: the store and the place that it belongs to."""
        return {"store": self.fingerprint(self.segments[segment].keys), "view": str(view), "block": str(block)}

    def fingerprint(self, keys: FileRecord | None = None) -> str:
        """Returns a hash of identity, codecs and, for a shard, the keys of its rows.

        All files of the store carry it, so that a file of another store, or of other samples, is refused.
        """
        taps = {tap: codec.spec() for tap, codec in self.codecs.items()}
        content = [self.identity, taps, keys.sha256 if keys else None]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]

    def require_identity(self, folder: Path, identity: Identity, codecs: Mapping[str, Codec] | None = None) -> None:
        """Refuse a run with another identity or other codecs.

        Raises:
            IdentityError: names every difference.
        """
        stored: dict[str, object] = dict(self.identity)
        wanted: dict[str, object] = dict(identity)
        if codecs is not None:
            stored.update({f"signal {tap}": str(codec) for tap, codec in self.codecs.items()})
            wanted.update({f"signal {tap}": str(codec) for tap, codec in codecs.items()})
        if stored != wanted:
            raise IdentityError(folder, stored, wanted)


def read_manifest(folder: Path) -> Manifest:
    """Returns the verified manifest of a store.

    Raises:
        StoreError: no store, or one of a later format.
        CorruptFileError: not the text that was written.
    """
    path = folder / NAME
    if not path.is_file():
        raise StoreError(f"{folder}: no store of teacher signals here (no {NAME}); build one, or name another folder")
    content = path.read_bytes()
    try:
        fields = json.loads(content)
        checksum = fields["checksum"]
        intact = hashlib.sha256(content.replace(checksum.encode(), CHECKSUM_PLACEHOLDER, 1)).hexdigest() == checksum
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CorruptFileError(path, f"it is no manifest ({type(error).__name__})") from error
    if not intact:
        raise CorruptFileError(path, "its text is not what was written (the checksum differs)")
    if fields.get("format") != FORMAT:
        raise StoreError(f"{path}: format {fields.get('format')!r}, and this version reads format {FORMAT}; update limbeck")
    try:
        return _parse_manifest(fields)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptFileError(path, f"its fields do not describe a store ({error})") from error


def shard_name(view: int, block: int) -> str:
    """Returns the name of a shard's file without its extension."""
    return f"{view:04d}-{block:05d}"


def segment_folder(folder: Path, segment: int) -> Path:
    """Returns the folder of a segment."""
    return folder / "segments" / f"{segment:03d}"


def keys_path(folder: Path, segment: int) -> Path:
    """Returns the file of a segment's keys."""
    return segment_folder(folder, segment) / "keys.safetensors"


def shard_path(folder: Path, segment: int, view: int, block: int) -> Path:
    """Returns the file of a shard."""
    return segment_folder(folder, segment) / f"{shard_name(view, block)}.safetensors"


def _parse_manifest(fields: Mapping[str, Any]) -> Manifest:
    codecs = {str(tap): codec_from(spec) for tap, spec in fields["taps"].items()}
    views = _positive(fields["views"])
    segments = [_parse_segment(part, views) for part in fields["segments"]]
    return Manifest(dict(fields["identity"]), codecs, views, segments, _parse_record(fields["readme"]))


def _parse_segment(fields: Mapping[str, Any], views: int) -> Segment:
    segment = Segment(_positive(fields["rows"]), _positive(fields["rows_per_shard"]), _parse_record(fields["keys"]))
    for name, record in fields["shards"].items():
        view, block = (int(part) for part in name.split("-"))
        if not (0 <= block < segment.blocks and 0 <= view < views):
            raise ValueError(f"shard {name} lies outside its segment")
        segment.shards[view, block] = _parse_record(record)
    return segment


def _parse_record(fields: Mapping[str, Any]) -> FileRecord:
    return FileRecord(str(fields["sha256"]), int(fields["bytes"]))


def _positive(value: Any) -> int:
    if type(value) is not int or value < 1:
        raise ValueError(f"expected a count, found {value!r}")
    return value
