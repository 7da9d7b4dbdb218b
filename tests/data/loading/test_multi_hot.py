"""Several labels of each item, in each form that files hold them in."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from limbeck.data import Items, load_items
from limbeck.data.loading import multi_hot_labels

X = [[0.5, 1.0], [2.0, 3.0], [4.0, 5.0], [6.0, 7.0]]


def written(folder, columns, name="data.parquet"):
    pq.write_table(pa.table({"x": X, **columns}), folder / name)
    return folder / name


def load(path, **options):
    return load_items(path, read_labels=multi_hot_labels, **options)


@pytest.mark.parametrize(
    "label",
    [
        ["b;a", "", None, " b "],
        [["b", "a"], [], None, ["b"]],
    ],
)
def test_names_in_texts_and_lists(tmp_path, label):
    items = load(written(tmp_path, {"label": label}))
    assert items.target.tolist() == [[1, 1], [0, 0], [-100, -100], [0, 1]]
    assert (items.class_names, items.classes) == (["a", "b"], 2)
    assert len(items.labelled()) == 3


def test_columns_of_zeros_and_ones(tmp_path):
    path = written(tmp_path, {"odd": [1, 0, None, 1], "big": [False, True, True, None]})
    items = load(path, label=["odd", "big"])
    assert items.target.tolist() == [[1, 0], [0, 1], [-100, 1], [1, -100]]
    assert items.class_names == ["odd", "big"]
    assert len(items.labelled()) == 4


def test_a_table_of_csv_with_label_columns_among_its_columns(tmp_path):
    rows = ["height,weight,odd,big", "1.5,2,1,0", "2.5,3,0,1", "1,7,1,1"]
    (tmp_path / "d.csv").write_text("\n".join(rows), encoding="utf-8")
    items = load(tmp_path / "d.csv", label=["odd", "big"])
    assert items.target.tolist() == [[1, 0], [0, 1], [1, 1]]
    assert list(items.storage.numeric) == ["height", "weight"]


def test_texts_beside_label_columns_are_the_input(tmp_path):
    (tmp_path / "d.csv").write_text("message,odd,big\nhello,1,0\nhi,0,0", encoding="utf-8")
    assert load(tmp_path / "d.csv", label=["odd", "big"]).fetch(torch.tensor([1])) == ["hi"]


def test_lists_of_numbers(tmp_path):
    indices = load(written(tmp_path, {"label": [[2, 0], [], None, [1]]}))
    assert indices.target.tolist() == [[1, 0, 1], [0, 0, 0], [-100] * 3, [0, 1, 0]]
    flags = load(written(tmp_path, {"label": [[1, 0, 1], [0, 0, 0], None, [0, 1, 0]]}))
    assert torch.equal(flags.target, indices.target)


def test_known_names_number_the_classes(tmp_path):
    (tmp_path / "classes.json").write_text(json.dumps(["c", "b", "a"]), encoding="utf-8")
    items = load(written(tmp_path, {"label": ["a", "b;a", "", "a"]}))
    assert items.target.tolist() == [[0, 0, 1], [0, 1, 1], [0, 0, 0], [0, 0, 1]]
    with pytest.raises(ValueError, match="row 1 holds 'bb', which is not a known class; nearest: b"):
        load(written(tmp_path, {"label": ["a", "bb;a", "", "a"]}))


@pytest.mark.parametrize(
    ("columns", "label", "message"),
    [
        ({"label": [1, 2, 3, 4]}, None, "column 'label' holds int64; several labels of an item are a list"),
        ({"a": [1, 0, 2, 0], "b": [0] * 4}, ["a", "b"], "column 'a': row 2 holds 2; expected 0, 1, or an empty cell"),
        ({"label": [[0.5], [1.0], [2.0], [0.0]]}, None, "lists hold neither names nor whole numbers alone"),
        ({"a": [1] * 4}, ["a", "c"], "label='c': .* has the columns x, a"),
    ],
)
def test_other_cells_are_refused(tmp_path, columns, label, message):
    with pytest.raises(ValueError, match=message):
        load(written(tmp_path, columns), label=label)


def test_a_number_of_classes_that_contradicts_the_data(tmp_path):
    with pytest.raises(ValueError, match=r"classes=3, but .* has 2: a, b"):
        load(written(tmp_path, {"label": ["a", "b", "a", "b"]}), classes=3)


def test_classes_are_numbered_as_in_the_training_data(tmp_path):
    few = load(written(tmp_path, {"label": ["c;a", "", None, "a"]}))
    aligned = few.align_classes(["a", "b", "c"])
    assert aligned.target.tolist() == [[1, 0, 1], [0, 0, 0], [-100] * 3, [1, 0, 0]]


def test_several_labels_in_memory():
    items = Items.from_tensors(torch.rand(3, 2), torch.tensor([[1, 0], [0, -100], [1, 1]]), classes=2)
    assert items.classes == 2
    assert items.without_labels(torch.tensor([0])).target.tolist() == [[-100, -100], [0, -100], [1, 1]]
    with pytest.raises(ValueError, match=r"target: row 1 holds \[0, 2\]; expected 0, 1, or -100"):
        Items.from_tensors(torch.rand(2, 2), torch.tensor([[1, 0], [0, 2]]), classes=2)


def test_labels_that_are_joined_by_something_else_are_named(tmp_path):
    """Each combination became a class of its own, without a word."""
    said = r"'joy,fear' is read as one label, and 'joy', 'fear' are labels too; .* by ';', not by ','"
    with pytest.warns(UserWarning, match=said):
        load(written(tmp_path, {"label": ["joy,fear", "joy", "fear", "joy"]}))


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ([[0.0, float("inf")], [1.0], [], []], "lists hold neither names nor whole numbers alone"),
        ([[0.0, float("nan")], [1.0], [], []], "lists hold neither names nor whole numbers alone"),
        ([[0, 2_000_000_000], [1], [], []], "numbers up to 2,000,000,000, and 3 different ones: these are ids"),
    ],
)
def test_numbers_that_are_no_class_indices_are_refused(tmp_path, label, message):
    with pytest.raises(ValueError, match=message):
        load(written(tmp_path, {"label": label}))
