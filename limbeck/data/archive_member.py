"""`ArchiveMember`: a file within an uncompressed archive, read from its place there."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, NamedTuple


class ArchiveMember(NamedTuple):
    """Where the bytes of a file are: an archive, its name in it, the first byte and their number."""

    path: str
    name: str
    offset: int
    length: int

    def read(self) -> bytes:
        """The bytes of the file."""
        with open(self.path, "rb", buffering=0) as archive:
            archive.seek(self.offset)
            return archive.read(self.length)

    def __str__(self) -> str:
        return f"{self.path}: {self.name}"


def as_file(source: Any) -> Any:
    """An encoded image or sound as libraries open it: bytes and members of archives as files in memory, paths as they are."""
    content = source.read() if isinstance(source, ArchiveMember) else source
    return io.BytesIO(content) if isinstance(content, bytes) else content


def as_bytes(source: bytes | str | Path | ArchiveMember) -> bytes:
    """The bytes of an encoded image or sound."""
    if isinstance(source, bytes):
        return source
    return source.read() if isinstance(source, ArchiveMember) else Path(source).read_bytes()
