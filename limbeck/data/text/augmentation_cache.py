"""Files of altered texts: one line with the format, the number of items and a checksum, then one line for each item."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from limbeck.data.content_keys import content_key
from limbeck.data.storage import Text, parts_of
from limbeck.utils.atomic_files import write_atomic

FORMAT = "limbeck augmented texts 1"
Copies = list[tuple[int, Text]]
"""The copies of one item: the number of each, and its text."""


def cache_path(folder: Path, texts: Sequence[Text], keys: Tensor, settings_key: str) -> Path:
    """The file for the copies of these texts with these settings.

    The folder is created now, so that a folder that cannot be written is found before the copies are computed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    digest = hashlib.blake2b(f"{FORMAT}\n{settings_key}\n".encode(), digest_size=16)
    for key, text in zip(keys.tolist(), texts, strict=True):
        digest.update(_int64(content_key(text_bytes(text))) + _int64(key))
    return folder / f"{digest.hexdigest()}.jsonl"


def write_cache(path: Path, made: Sequence[Copies]) -> None:
    """Write the copies of each item."""
    lines = [json.dumps(copies, ensure_ascii=False) for copies in made]
    header = {"format": FORMAT, "items": len(made), "checksum": _checksum(lines)}
    write_atomic(path, "".join(f"{line}\n" for line in [json.dumps(header), *lines]).encode())


def read_cache(path: Path, items: int) -> list[Copies] | None:
    """The copies of each item; None if there is no file, or with a warning if it is damaged."""
    if not path.exists():
        return None
    try:
        header, *lines = path.read_bytes().decode().removesuffix("\n").split("\n")
        if json.loads(header) != {"format": FORMAT, "items": items, "checksum": _checksum(lines)}:
            raise ValueError("its checksum does not match")
        return [[(number, join_parts(_as_list(text))) for number, text in json.loads(line)] for line in lines]
    except ValueError as error:
        warnings.warn(f"{path} is damaged ({error}); the texts are altered again", stacklevel=3)
        return None


def join_parts(parts: Sequence[str]) -> Text:
    """The inverse of `parts_of`: a text, or a pair of texts."""
    if len(parts) == 1:
        return parts[0]
    first, second = parts
    return first, second


def text_bytes(text: Text) -> bytes:
    """UTF-8 of a text, or of both texts of a pair, joined by a byte that does not occur in UTF-8."""
    return b"\xff".join(part.encode() for part in parts_of(text))


def _as_list(text: str | list[str]) -> list[str]:
    return [text] if isinstance(text, str) else text


def _checksum(lines: Sequence[str]) -> str:
    return hashlib.blake2b("\n".join(lines).encode(), digest_size=16).hexdigest()


def _int64(value: int) -> bytes:
    return value.to_bytes(8, "little", signed=True)
