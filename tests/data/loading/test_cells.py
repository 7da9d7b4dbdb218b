"""Cells: images, texts, arrays, labels and numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from limbeck.data import load_items
from tests.data.loading.files import EXPECTED, PIXELS, everything, parquet, png, targets


def test_csv_of_image_paths(tmp_path: Path) -> None:
    for row in range(3):
        (tmp_path / f"{row}.png").write_bytes(png(PIXELS[row]))
    (tmp_path / "list.csv").write_text("path,class\n0.png,a\n1.png,b\n2.png,\n")
    items = load_items(tmp_path / "list.csv")
    assert torch.equal(everything(items), EXPECTED[:3])
    assert targets(items)[:2] == [items.class_names.index("a"), items.class_names.index("b")]  # type: ignore[union-attr]


def test_lists_of_numbers_are_arrays(tmp_path: Path) -> None:
    file = parquet(tmp_path / "a.parquet", features=[[[1.0, 2.0]], [[3.0, 4.0]]], y=[0.0, 1.0])
    assert everything(load_items(file)).tolist() == [[[1, 2]], [[3, 4]]]
    assert targets(load_items(file)) == [0, 1]
    ragged = parquet(tmp_path / "b.parquet", features=[[1.0], [3.0, 4.0]], y=[0, 1])
    with pytest.raises(ValueError, match="lists of different lengths"):
        load_items(ragged)


def test_unknown_class_names_are_refused(tmp_path: Path) -> None:
    (tmp_path / "classes.json").write_text('{"cat": 1, "dog": 0}')
    file = parquet(tmp_path / "a.parquet", text=["x", "y"], label=["cat", "dgo"])
    with pytest.raises(ValueError, match=r"row 1 holds 'dgo', which is not a known class; nearest: dog"):
        load_items(file)
    good = parquet(tmp_path / "b.parquet", text=["x", "y"], label=["cat", "dog"])
    assert targets(load_items(good)) == [1, 0]


COLUMNS: dict[str, list[Any]] = {
    "question": ["who?", "", "why?"],
    "sentence": ["she.", "nothing", ""],
    "idx": [0, 1, 2],
    "label": ["yes", "no", None],
}


NAN = float("nan")


def same(one: Tensor | None, other: Tensor | None) -> bool:
    assert one is not None
    assert other is not None
    return one.dtype == other.dtype and torch.equal(one.nan_to_num(-1e9), other.nan_to_num(-1e9))


def test_regression_reads_numbers(tmp_path: Path) -> None:
    file = parquet(tmp_path / "a.parquet", text=["a", "b", "c", "d"], label=[0.5, None, NAN, 3.0])
    items = load_items(file, regression=True)
    assert same(items.target, torch.tensor([0.5, NAN, NAN, 3.0]))
    assert items.classes is None
    with pytest.raises(
        ValueError, match=r"row 0 holds 0.5; expected class indices .*`task: regression`, Python `regression=True`"
    ):
        load_items(file)
    with pytest.raises(ValueError, match=r"classes=4: with `regression` labels are numbers"):
        load_items(file, regression=True, classes=4)
    assert load_items(file, regression=True, label=False).target is None


def test_regression_reads_integers(tmp_path: Path) -> None:
    file = parquet(tmp_path / "a.parquet", text=["a", "b"], label=[-3, 7])
    (tmp_path / "classes.json").write_text('["low", "high"]')
    items = load_items(file, regression=True)
    assert same(items.target, torch.tensor([-3.0, 7.0]))
    assert items.class_names is None


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (["one", "two"], r"column 'label' holds string; regression predicts numbers. Set `label` to another column"),
        ([1.0, float("-inf")], r"row 1 holds -inf; expected a finite number"),
    ],
)
def test_wrong_regression_columns_are_refused(tmp_path: Path, label: list[Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_items(parquet(tmp_path / "a.parquet", text=["a", "b"], label=label), regression=True)


def test_empty_texts_are_read_and_empty_cells_refused(tmp_path: Path) -> None:
    file = parquet(tmp_path / "a.parquet", question=["a", "b"], sentence=["c", None], label=[0, 1])
    with pytest.raises(ValueError, match="column 'sentence' has empty cells, the first in row 1 of 2; leave such rows out"):
        load_items(file, input=["question", "sentence"])
    assert load_items(file, input="question").fetch(torch.arange(2)) == ["a", "b"]


@pytest.mark.parametrize("blank", ["", "  ", "\t "])
def test_an_empty_cell_of_a_csv_is_no_value(tmp_path: Path, blank: str) -> None:
    file = tmp_path / "a.csv"
    file.write_text(f'text,label\nfine,positive\npoor,negative\nso so,"{blank}"\n', encoding="utf-8")
    items = load_items(file)
    assert items.class_names == ["negative", "positive"]
    assert items.target.tolist() == [1, 0, -100]
    file.write_text(f'text,label\nfine,positive\n"{blank}",negative\n', encoding="utf-8")
    with pytest.raises(ValueError, match=r"column 'text' has empty cells, the first in row 1 of 2; leave such rows out"):
        load_items(file)
