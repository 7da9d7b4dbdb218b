"""Whether a wav file holds all the samples that its header speaks of: decoders take what is there, without a word."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, BinaryIO

from limbeck.data.archive_member import ArchiveMember, as_file

MISSING = 0.01  # share of the samples that a file may lack, since some programs count a little more than they write
UNKNOWN = 0x7FFFFF00  # from here on a length was not known when the header was written, as in a stream


def refuse_cut_off(source: Any) -> None:
    """Raises a `ValueError` if a wav file ends before its samples do; files of other kinds are left to their decoders.

    Args:
        source: bytes, the path of a file, or a member of an archive.
    """
    if not isinstance(source, str | Path | bytes | ArchiveMember):
        return
    with open(source, "rb") if isinstance(source, str | Path) else as_file(source) as file:
        found = _samples(file)
    if found is not None and found[1] < (1 - MISSING) * found[0] and found[0] < UNKNOWN:
        raise ValueError(f"it is cut off: its header speaks of {found[0]:,} bytes of samples, and it holds {found[1]:,}")


def _samples(file: BinaryIO) -> tuple[int, int] | None:
    """Bytes of samples by the header of a wav file, and those that follow it; None: it is no wav file, or has no samples."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if file.read(4) != b"RIFF" or file.seek(8) != 8 or file.read(4) != b"WAVE":
        return None
    while len(head := file.read(8)) == 8:
        length = int.from_bytes(head[4:], "little")
        if head[:4] == b"data":
            return length, size - file.tell()
        file.seek(length + length % 2, os.SEEK_CUR)  # chunks begin at even places
    return None
