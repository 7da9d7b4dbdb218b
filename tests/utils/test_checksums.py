"""Damage of a file is found by its checksum, and the file is named."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from limbeck.utils.checksums import FILE, DamagedFileError, check_file, check_files, write_checksums


def written(folder: Path) -> Path:
    (folder / "deep").mkdir()
    (folder / "weights").write_bytes(bytes(range(256)))
    (folder / "deep" / "config.json").write_text("{}")
    write_checksums(folder)
    return folder


def test_every_flipped_byte_is_found_and_its_file_named(tmp_path: Path) -> None:
    folder, drawn = written(tmp_path), random.Random(0)
    check_files(folder)
    for path in (folder / "weights", folder / "deep" / "config.json", folder / FILE):
        content = path.read_bytes()
        for _ in range(50):
            place = drawn.randrange(len(content))
            flipped = content[place] ^ (1 << drawn.randrange(8))
            path.write_bytes(content[:place] + bytes([flipped]) + content[place + 1 :])
            with pytest.raises(DamagedFileError, match=f"{path.name}.*delete .*--resume"):
                check_files(folder)
        path.write_bytes(content)
    check_files(folder)


def test_a_file_that_is_gone_is_named_and_files_without_checksum_pass(tmp_path: Path) -> None:
    folder = written(tmp_path)
    (folder / "notes.md").write_text("mine")
    check_files(folder)
    check_file(folder / "notes.md")
    (folder / "weights").unlink()
    with pytest.raises(DamagedFileError, match=r"weights is gone"):
        check_files(folder)
    (folder / FILE).unlink()
    check_files(folder)
