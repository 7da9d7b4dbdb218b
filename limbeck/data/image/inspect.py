"""What is known of images before they are decoded: a hash of their bytes, their size, whether they are grey."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from limbeck.data.archive_member import as_bytes
from limbeck.data.content_keys import content_key
from limbeck.data.image.decode import is_grey, refuse_deep, upright_size
from limbeck.data.image.file_index import FileIndex, place_of
from limbeck.utils.cores import cores
from limbeck.utils.progress_bar import show_progress

CHUNK = 64  # images that one thread looks at in turn
_END_OF_JPEG, _TAIL = b"\xff\xd9", 1 << 10


class Header(NamedTuple):
    """Of one image: hash of its bytes, upright height and width, whether it is grey, whether it was decoded for a test."""

    hash: int
    height: int
    width: int
    grey: bool
    decoded: bool


@dataclass(frozen=True)
class Headers:
    """Of all images `[N]`, zeros where an image cannot be read, and why it cannot by row; `states` of their files `[N, 2]`."""

    hashes: NDArray[np.int64]
    heights: NDArray[np.int64]
    widths: NDArray[np.int64]
    grey: NDArray[np.bool_]
    states: NDArray[np.int64]
    broken: dict[int, Exception]


def inspect_images(sources: Sequence[Any], *, decode: bool = False) -> Headers:
    """Reads the headers of all images. What is known of a file since an earlier time is not read again; see `FileIndex`.

    Args:
        sources: bytes, paths of files, or members of archives.
        decode: decode each image once, to find those that are damaged within. Else a JPEG has to have its end, and a PNG the
            checksums that it states; images of other formats are decoded.
    """
    count = len(sources)
    columns = {name: np.zeros(count, dtype=np.int64) for name in Header._fields}
    index = FileIndex.of([place_of(source) for source in sources])
    known = index.find(columns, decoded=decode)
    broken: dict[int, Exception] = {}
    unknown = np.flatnonzero(~known).tolist()
    found = _inspect_all(sources, unknown, decode)
    for row, header in zip(unknown, show_progress(found, "reading images", len(unknown)), strict=True):
        if isinstance(header, Exception):
            broken[row] = header
        else:
            for name, value in zip(Header._fields, header, strict=True):
                columns[name][row] = value
    whole = np.ones(count, dtype=bool)
    whole[list(broken)] = False
    if len(unknown) > len(broken):
        index.save(columns, whole)
    return Headers(columns["hash"], columns["height"], columns["width"], columns["grey"].astype(bool), index.states, broken)


def inspect_image(source: Any, *, decode: bool = False) -> Header:
    """Reads the header of one image; raises what Pillow raises for one that is broken."""
    if source is None:
        raise ValueError("the cell is empty")
    content = as_bytes(source)
    if not content:
        raise ValueError("the file has no bytes")
    with Image.open(io.BytesIO(content)) as image:
        refuse_deep(image)
        height, width = upright_size(image)
        grey = is_grey(image)
        decode = decode or _needs_decoding(image, content)
        if decode:
            image.load()
    return Header(content_key(content), height, width, grey, decode)


def _needs_decoding(image: Image.Image, content: bytes) -> bool:
    """Whether only decoding shows that an image is whole. A PNG whose checksums are wrong raises here."""
    if image.format == "JPEG":
        return _END_OF_JPEG not in content[-_TAIL:]
    if image.format == "PNG":
        with Image.open(io.BytesIO(content)) as again:  # an image that was verified cannot be used any more
            again.verify()
        return False
    return True


def _inspect_all(sources: Sequence[Any], rows: list[int], decode: bool) -> Iterator[Header | Exception]:
    """Headers in order; an image that is broken gives its exception."""

    def attempt(part: list[int]) -> list[Header | Exception]:
        return [_attempt(sources, row, decode) for row in part]

    parts = [rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK)]
    if len(parts) == 1 or cores() == 1:
        for part in parts:
            yield from attempt(part)
        return
    with ThreadPoolExecutor(cores()) as threads:  # files are read, hashed and decoded without the interpreter's lock
        for start in range(0, len(parts), CHUNK):
            for headers in threads.map(attempt, parts[start : start + CHUNK]):
                yield from headers


def _attempt(sources: Sequence[Any], row: int, decode: bool) -> Header | Exception:
    try:
        return inspect_image(sources[row], decode=decode)
    except Exception as error:  # Pillow raises whatever its codecs raise
        return error
