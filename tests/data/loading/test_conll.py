"""CoNLL files: words and tags in columns."""

from __future__ import annotations

from pathlib import Path

import pytest

from limbeck.data.loading.conll import read_conll
from limbeck.data.loading.files import open_table


def table(folder: Path, text: str) -> list[tuple[list[str], list[str]]]:
    path = folder / "one.conll"
    path.write_text(text, encoding="utf-8")
    found = read_conll(path)
    return list(zip(found["tokens"].to_pylist(), found["tags"].to_pylist(), strict=True))


def test_first_and_last_column_are_word_and_tag(tmp_path: Path) -> None:
    text = "-DOCSTART- -X- -X- O\n\nEU NNP B-NP B-ORG\nrejects VBZ B-VP O\n\n\n# # B-X O\nParis NNP B-NP B-LOC"
    assert table(tmp_path, text) == [(["EU", "rejects"], ["B-ORG", "O"]), (["#", "Paris"], ["O", "B-LOC"])]


def test_tabs_separate_words_with_spaces_and_comments_are_left_out(tmp_path: Path) -> None:
    assert table(tmp_path, "# id = 1\nNew York\tB-LOC\r\nis\tO\r\n\r\n# text of the next\n\nok\tO\n") == [
        (["New York", "is"], ["B-LOC", "O"]),
        (["ok"], ["O"]),
    ]


@pytest.mark.parametrize("text", ["EU\nrejects\n", "EU O\nrejects VBZ O\n"])
def test_a_line_of_other_columns_is_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError, match=r"line [12] has"):
        table(tmp_path, text)


def test_a_folder_has_splits(tmp_path: Path) -> None:
    for split in ("train", "test"):
        (tmp_path / f"{split}.conll").write_text(f"{split} O\n")
    assert open_table(tmp_path, "test").columns["tokens"].to_pylist() == [["test"]]
