"""Readers of table files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from limbeck.data import load_items
from tests.data.loading.files import everything, targets


def test_csv_of_texts_with_names_for_labels(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text('text,label\n"good, really",pos\nbad,neg\n"two\nlines",pos\n')
    items = load_items(file)
    assert everything(items) == ["good, really", "bad", "two\nlines"]
    assert targets(items) == [1, 0, 1]
    assert items.class_names == ["neg", "pos"]


@pytest.mark.parametrize("suffix", ["json", "jsonl"])
def test_json_by_line_or_as_an_array(tmp_path: Path, suffix: str) -> None:
    rows = [{"sentence": "a", "label": 1}, {"sentence": "b", "label": 0}]
    file = tmp_path / f"a.{suffix}"
    file.write_text(json.dumps(rows) if suffix == "json" else "\n".join(map(json.dumps, rows)))
    items = load_items(file)
    assert everything(items) == ["a", "b"]
    assert targets(items) == [1, 0]


def test_unknown_formats_and_broken_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.xlsx").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"expected a folder of images or one of .*found '.xlsx'"):
        load_items(tmp_path / "a.xlsx")
    (tmp_path / "a.parquet").write_bytes(b"not a table")
    with pytest.raises(ValueError, match=r"a.parquet cannot be read as parquet"):
        load_items(tmp_path / "a.parquet")
