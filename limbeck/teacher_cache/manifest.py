"""`manifest.json`: what a store was made by, what it is made of, and the checksum of every file, its own included."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from limbeck.teacher_cache.codecs import Codec, codec_from
from limbeck.teacher_cache.errors import DamagedError, IdentityError, StoreError
from limbeck.teacher_cache.shards import UNSIGNED, Record, signed
from limbeck.utils.atomic_files import write_atomic

NAME = "manifest.json"
FORMAT = 1
Identity = Mapping[str, str | int | float | bool]
Place = tuple[int, int]  # view, block of rows


@dataclass
class Segment:
    """Samples that came into the store together: their sorted keys, and the shards of their rows.

    A row is a sample's place among the segment's keys; block b holds rows b·rows_per_shard and on.
    """

    rows: int
    rows_per_shard: int
    keys: Record
    shards: dict[Place, Record] = field(default_factory=dict)

    @property
    def blocks(self) -> int:
        return -(-self.rows // self.rows_per_shard)

    def rows_in(self, block: int) -> int:
        return min(self.rows_per_shard, self.rows - block * self.rows_per_shard)

    def slice(self, block: int) -> slice:
        return slice(block * self.rows_per_shard, min(self.rows, (block + 1) * self.rows_per_shard))


@dataclass
class Manifest:
    """The content of `manifest.json`. `views` is how many views of each sample the store is meant to hold."""

    identity: dict[str, str | int | float | bool]
    codecs: dict[str, Codec]
    views: int
    segments: list[Segment] = field(default_factory=list)
    readme: Record = field(default_factory=lambda: Record("", 0))

    def text(self) -> str:
        """The file: JSON, its keys sorted, with the checksum of the text in it."""
        segments = [
            {**asdict(part), "shards": {shard_name(*p): asdict(r) for p, r in sorted(part.shards.items())}}
            for part in self.segments
        ]
        content = {
            "checksum": UNSIGNED.decode(),
            "format": FORMAT,
            "identity": self.identity,
            "taps": {tap: codec.spec() for tap, codec in self.codecs.items()},
            "views": self.views,
            "readme": asdict(self.readme),
            "segments": segments,
        }
        text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
        return signed(text.encode())[0].decode()

    def write(self, folder: Path) -> None:
        write_atomic(folder / NAME, self.text().encode())

    def about(self, segment: int, view: int, block: int) -> dict[str, str]:
        """What a shard says of itself: where it belongs."""
        return {"store": self.seal(self.segments[segment].keys), "view": str(view), "block": str(block)}

    def seal(self, keys: Record | None = None) -> str:
        """A mark for the files of this store: of its identity, its codecs and, for a shard, the keys of its rows.

        It keeps a file that was left by another store, or by other samples, from being taken for one of this.
        """
        taps = {tap: codec.spec() for tap, codec in self.codecs.items()}
        made_by = [self.identity, taps, keys.sha256 if keys else None]
        return hashlib.sha256(json.dumps(made_by, sort_keys=True).encode()).hexdigest()[:32]

    def require(self, folder: Path, identity: Identity, codecs: Mapping[str, Codec] | None = None) -> None:
        """Refuse a run that the store was not made for.

        Raises:
            IdentityError: with every difference named.
        """
        stored: dict[str, object] = dict(self.identity)
        wanted: dict[str, object] = dict(identity)
        if codecs is not None:
            stored.update({f"signal {tap}": str(codec) for tap, codec in self.codecs.items()})
            wanted.update({f"signal {tap}": str(codec) for tap, codec in codecs.items()})
        if stored != wanted:
            raise IdentityError(folder, stored, wanted)


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a store.

    Raises:
        StoreError: no store there, or one of a later format.
        DamagedError: not the text that was written.
    """
    path = folder / NAME
    if not path.is_file():
        raise StoreError(f"{folder}: no store of teacher signals here (no {NAME}); build one, or name another folder")
    content = path.read_bytes()
    try:
        fields = json.loads(content)
        checksum = fields["checksum"]
        honest = hashlib.sha256(content.replace(checksum.encode(), UNSIGNED, 1)).hexdigest() == checksum
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DamagedError(path, f"it is no manifest ({type(error).__name__})") from error
    if not honest:
        raise DamagedError(path, "its text is not what was written (the checksum differs)")
    if fields.get("format") != FORMAT:
        raise StoreError(f"{path}: format {fields.get('format')!r}, and this version reads format {FORMAT}; update limbeck")
    try:
        return _manifest(fields)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedError(path, f"its fields do not describe a store ({error})") from error


def shard_name(view: int, block: int) -> str:
    return f"{view:04d}-{block:05d}"


def segment_folder(folder: Path, segment: int) -> Path:
    return folder / "segments" / f"{segment:03d}"


def keys_path(folder: Path, segment: int) -> Path:
    return segment_folder(folder, segment) / "keys.safetensors"


def shard_path(folder: Path, segment: int, view: int, block: int) -> Path:
    return segment_folder(folder, segment) / f"{shard_name(view, block)}.safetensors"


def _manifest(fields: Mapping[str, Any]) -> Manifest:
    codecs = {str(tap): codec_from(spec) for tap, spec in fields["taps"].items()}
    views = _count(fields["views"])
    segments = [_segment(part, views) for part in fields["segments"]]
    return Manifest(dict(fields["identity"]), codecs, views, segments, _record(fields["readme"]))


def _segment(fields: Mapping[str, Any], views: int) -> Segment:
    segment = Segment(_count(fields["rows"]), _count(fields["rows_per_shard"]), _record(fields["keys"]))
    for name, record in fields["shards"].items():
        view, block = (int(part) for part in name.split("-"))
        if not (0 <= block < segment.blocks and 0 <= view < views):
            raise ValueError(f"shard {name} lies outside its segment")
        segment.shards[view, block] = _record(record)
    return segment


def _record(fields: Mapping[str, Any]) -> Record:
    return Record(str(fields["sha256"]), int(fields["bytes"]))


def _count(value: Any) -> int:
    if type(value) is not int or value < 1:
        raise ValueError(f"expected a count, found {value!r}")
    return value
