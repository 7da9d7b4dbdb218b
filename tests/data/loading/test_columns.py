"""The columns of inputs and labels are found or named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset

from limbeck.data import load_items
from tests.data.loading.files import EXPECTED, everything, folder_of_images, parquet


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        ({"a": ["x"], "b": ["y"], "label": [0]}, {}, r"which column is the input\? Set `input` to one of: a, b"),
        ({"text": ["x"], "sentence": ["y"]}, {}, r"which column is the input\? .*: text, sentence"),
        ({"text": ["x"], "label": [0], "target": [0]}, {}, r"which column is the label\? .*: label, target"),
        ({"text": ["x"], "kind": [0]}, {}, r"which column is the label\? .*: kind; or `label: false`"),
        ({"text": ["x"], "label": [0]}, {"input": "txt"}, r"input='txt': .* has the columns text, label"),
        ({"text": ["x"], "label": [0]}, {"label": "y"}, r"label='y': .* has the columns text, label"),
        ({"text": ["x", "y"], "label": [0, 5]}, {"classes": 3}, r"row 1 holds 5; expected 0 to 2 \(3 classes\)"),
        ({"text": ["x", "y"], "label": [0, -1]}, {}, r"row 1 holds -1; expected 0 or more"),
        ({"text": ["x", "y"], "label": [0.0, 0.5]}, {}, r"row 1 holds 0.5; expected class indices"),
        ({"text": ["x", "y"], "label": ["a", "b"]}, {"classes": 3}, r"classes=3, but .* has 2 classes: a, b"),
        ({"text": ["x"], "label": [[0]]}, {}, r"holds list<.*>; expected class indices or names"),
        ({"text": ["x", None], "label": [0, 1]}, {}, "column 'text' has empty cells"),
        ({"text": [], "label": []}, {}, "the data set is empty"),
    ],
)
def test_ambiguous_missing_and_wrong_columns_are_named(
    tmp_path: Path, columns: dict[str, list[Any]], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        load_items(parquet(tmp_path / "a.parquet", **columns), **options)


COLUMNS: dict[str, list[Any]] = {
    "question": ["who?", "", "why?"],
    "sentence": ["she.", "nothing", ""],
    "idx": [0, 1, 2],
    "label": ["yes", "no", None],
}


def test_two_columns_are_pairs(tmp_path: Path) -> None:
    items = load_items(parquet(tmp_path / "a.parquet", **COLUMNS), input=["question", "sentence"])
    assert items.fetch(torch.arange(3)) == [("who?", "she."), ("", "nothing"), ("why?", "")]
    assert items.target is not None
    assert items.target.tolist() == [1, 0, -100]
    assert items.class_names == ["no", "yes"]
    assert items.select(torch.tensor([2, 0])).fetch(torch.arange(2)) == [("why?", ""), ("who?", "she.")]


def test_one_column_in_a_list_is_that_column(tmp_path: Path) -> None:
    file = parquet(tmp_path / "a.parquet", **{**COLUMNS, "sentence": ["a", "b", "c"]})
    assert load_items(file, input=["sentence"]).fingerprint() == load_items(file, input="sentence").fingerprint()


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (["question", "sentense"], r"input='sentense': .* has the columns question, sentence, idx, label"),
        (["question", "sentence", "label"], r"input=\['question', 'sentence', 'label'\]: expected one column, or two"),
        (["question", "question"], r"expected one column, or two different ones"),
        ([], r"input=\[\]: expected one column"),
        (["question", "idx"], r"column 'idx' holds int64; pairs are of texts"),
    ],
)
def test_wrong_pair_columns_are_refused(tmp_path: Path, wanted: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_items(parquet(tmp_path / "a.parquet", **COLUMNS), input=wanted)


@pytest.mark.parametrize("column", ["photo", "filename", "image"])
def test_paths_of_images_are_images_whatever_their_column_is_called(tmp_path: Path, column: str) -> None:
    folder_of_images(tmp_path)
    file = tmp_path / "a.csv"
    file.write_text(f"{column},label\ndog/b.png,x\ncat/z.png,y\n")
    assert torch.equal(everything(load_items(file)), EXPECTED[[0, 2]])
    table = Dataset.from_dict({column: ["dog/b.png", "cat/z.png"], "label": [0, 1]})
    table.to_parquet(tmp_path / "a.parquet")  # says that these are texts
    assert load_items(tmp_path / "a.parquet").images
    file.write_text(f"{column},label\ngone.png,x\nb.png,y\n")
    assert column == "image" or load_items(file).storage.modality == "text"


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        ({"text": ["x.png"], "label": [0]}, {"size": 32}, "size: .* column 'text' holds texts, no images; leave out `size`"),
        ({"x": [[1, 2]], "label": [0]}, {"channels": 3}, "channels: .* column 'x' holds arrays, no images"),
        ({"a": [1], "b": [2], "label": [0]}, {"size": 32}, "size: .* holds a table, no images"),
        ({"a": ["x"], "b": ["y"], "label": [0]}, {"size": 32, "input": ["a", "b"]}, "size: .* holds texts, no images"),
    ],
)
def test_options_of_images_are_refused_for_other_data(
    tmp_path: Path, columns: dict[str, list[Any]], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        load_items(parquet(tmp_path / "a.parquet", **columns), **options)
