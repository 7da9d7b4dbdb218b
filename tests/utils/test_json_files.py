"""JSON files whose errors name them."""

from __future__ import annotations

from pathlib import Path

import pytest

from limbeck.utils.json_files import NotJsonError, read_json


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\x82", b"\xef\xbb\xbf{}", b"[" * 100_000, b"\x00\x00"])
def test_what_is_no_json_names_its_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(NotJsonError, match=r"x\.json is not JSON, or damaged \("):
        read_json(path)


def test_json_is_read_and_a_missing_file_is_one(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"ä": [1]}', encoding="utf-8")
    assert read_json(tmp_path / "x.json") == {"ä": [1]}
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "y.json")
