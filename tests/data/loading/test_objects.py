"""Data that users have in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from limbeck.data import as_items, load_items, load_questions, load_tagged_words
from tests.data.loading.files import EXPECTED, PIXELS, everything, png

ROWS = {"text": ["fine", "poor", "good"], "label": ["yes", "no", "yes"]}


def tables() -> list[Any]:
    datasets = pytest.importorskip("datasets")
    plain = datasets.Dataset.from_dict(ROWS)
    return [pd.DataFrame(ROWS, index=[7, 8, 9]), pa.table(ROWS), plain, plain.select([0, 1, 2]), datasets.DatasetDict(a=plain)]


def test_tables_in_memory_are_read_as_files_are(tmp_path: Any) -> None:
    pd.DataFrame(ROWS).to_parquet(tmp_path / "a.parquet")
    expected = load_items(tmp_path / "a.parquet")
    for table in tables():
        items = as_items(table)
        assert items.fingerprint() == expected.fingerprint()
        assert items.class_names == ["no", "yes"]
    assert load_items(pd.DataFrame(ROWS), label=False).target is None


def test_a_data_set_keeps_its_class_names() -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(text=datasets.Value("string"), label=datasets.ClassLabel(names=["yes", "no"]))
    dataset = datasets.Dataset.from_dict({"text": ["a", "b"], "label": [1, 0]}, features=features)
    assert as_items(dataset).class_names == ["yes", "no"]
    both = datasets.DatasetDict(train=dataset, test=dataset)
    with pytest.raises(ValueError, match="no split was named; set `split` to one of: test, train"):
        as_items(both)
    assert len(load_items(both, split="test")) == 2
    with pytest.raises(ValueError, match="this stream does not say how many items it has"):
        as_items(dataset.to_iterable_dataset())


def test_arrays_are_tensors() -> None:
    x, y = np.random.default_rng(0).random((6, 4), dtype=np.float32), np.arange(6) % 3
    assert as_items((x, y)).fingerprint() == as_items((torch.from_numpy(x), torch.from_numpy(y))).fingerprint()


def test_what_has_no_items_is_refused_with_the_way_out() -> None:
    loader = DataLoader(TensorDataset(torch.rand(4, 2), torch.arange(4)))
    with pytest.raises(ValueError, match=r"hand over its data set \(loader.dataset\)"):
        as_items(loader)
    assert len(as_items(loader.dataset)) == 4
    with pytest.raises(ValueError, match=r"dict cannot be read as items; hand over .* a pair \(inputs, labels\)"):
        as_items({"x": torch.zeros(4, 2), "y": torch.zeros(4)})
    for names in (["b", "a"], np.array(["b", "a"])):
        with pytest.raises(ValueError, match=r"targets: they are texts, such as 'b'; give .* class_names="):
            as_items((torch.zeros(2, 2), names))
    with pytest.raises(ValueError, match="generator cannot be read as items; hand over a pandas or polars data frame"):
        as_items(x for x in [1])
    with pytest.raises(ValueError, match="this DataFrame cannot be read as a table"):
        as_items(pd.DataFrame({"text": ["a", 1.5], "label": [0, 1]}))


@pytest.mark.parametrize(
    "data", [None, 3, b"a.csv", ROWS, [("a", 0)], (np.eye(2), np.zeros(2)), iter(()), TensorDataset(torch.eye(2))]
)
def test_what_is_no_data_set_is_refused_where_paths_are_read_too(data: Any) -> None:
    for load in (load_items, load_tagged_words, load_questions):
        with pytest.raises(ValueError, match=r"is no data set; hand over a path or name, .*Items\.from_tensors"):
            load(data)


def test_a_data_frame_of_paths_says_how_they_are_given(tmp_path: Path) -> None:
    files = [tmp_path / f"{row}.png" for row in range(2)]
    for file, pixels in zip(files, PIXELS, strict=False):
        file.write_bytes(png(pixels))
    frame = pd.DataFrame({"photo": files, "label": [0, 1]})
    with pytest.raises(ValueError, match="paths as texts, images as the bytes of their files"):
        load_items(frame)
    assert torch.equal(everything(load_items(frame.astype({"photo": str}))), EXPECTED[:2])
