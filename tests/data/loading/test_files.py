"""Files, folders, splits and names of data sets."""

from __future__ import annotations

import time
from pathlib import Path

import pyarrow as pa
import pytest
import torch

from limbeck.data import load_items
from limbeck.utils import hub
from tests.data.loading.files import CELLS, EXPECTED, everything, folder_of_images, parquet, targets


def test_folder_of_images(tmp_path: Path) -> None:
    items = load_items(folder_of_images(tmp_path / "data"))
    assert items.class_names == ["cat", "dog"]
    assert targets(items) == [0, 1, 1]
    assert torch.equal(everything(items), EXPECTED[[2, 1, 0]])


def test_folder_of_images_with_splits(tmp_path: Path) -> None:
    folder_of_images(tmp_path / "train")
    folder_of_images(tmp_path / "test")
    assert len(load_items(tmp_path, split="train")) == 3
    with pytest.raises(ValueError, match="no split was named; set `split` to one of: test, train"):
        load_items(tmp_path)
    with pytest.raises(ValueError, match="split='val' does not exist"):
        load_items(tmp_path, split="val")


def test_folder_of_tables(tmp_path: Path) -> None:
    parquet(tmp_path / "train-00000-of-00002.parquet", text=["a", "b"], label=[0, 1])
    parquet(tmp_path / "train-00001-of-00002.parquet", text=["c"], label=[1])
    parquet(tmp_path / "test.parquet", text=["d"], label=[1])
    assert everything(load_items(tmp_path, split="train")) == ["a", "b", "c"]
    assert everything(load_items(tmp_path, split="test")) == ["d"]
    with pytest.raises(ValueError, match="no split was named"):
        load_items(tmp_path)
    with pytest.raises(ValueError, match="is a single file and has no splits"):
        load_items(tmp_path / "test.parquet", split="train")


def test_what_datasets_writes(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {"pixels": datasets.Image(), "kind": datasets.Value("string"), "label": datasets.ClassLabel(names=["x", "y"])}
    )
    rows = {"pixels": CELLS[:3], "kind": ["a"] * 3, "label": [1, 0, -1]}
    data = datasets.Dataset.from_dict(rows, features=features)
    data.save_to_disk(str(tmp_path / "one"))
    datasets.DatasetDict({"train": data, "test": data.select([2, 0])}).save_to_disk(str(tmp_path / "two"))
    data.to_parquet(str(tmp_path / "three.parquet"))
    for place in ({"name_or_path": tmp_path / "one"}, {"name_or_path": tmp_path / "three.parquet"}):
        items = load_items(**place)
        assert torch.equal(everything(items), EXPECTED[:3])
        assert targets(items) == [1, 0, -100]
        assert items.class_names == ["x", "y"]
    assert targets(load_items(tmp_path / "two", split="test")) == [-100, 1]
    with pytest.raises(ValueError, match="one of: test, train"):
        load_items(tmp_path / "two")


def test_a_hub_name_is_handed_to_datasets(monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    data = datasets.Dataset.from_dict({"text": ["a", "b"], "label": [1, 0]})
    monkeypatch.setattr(datasets, "load_dataset", lambda name, split: data)
    assert targets(load_items("someone/something", split="train")) == [1, 0]

    def fail(name: str, split: str | None) -> None:
        raise ConnectionError("no network")

    monkeypatch.setattr(datasets, "load_dataset", fail)
    with pytest.raises(FileNotFoundError, match=r"no data set 'someone/something': there is nothing of this name in"):
        load_items("someone/something")


def test_a_mistyped_name_is_not_asked_of_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "is_reachable", lambda address: pytest.fail("asked"))
    for name in ("digit", "Digits", "digitz"):
        with pytest.raises(FileNotFoundError, match="did you mean digits, which is built in"):
            load_items(name)


def test_an_unreachable_hub_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library of the hub would try again six times, for 23 seconds."""
    pytest.importorskip("datasets")
    monkeypatch.setattr(hub, "is_reachable", lambda address: False)
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail("it waits"))
    with pytest.raises(FileNotFoundError, match=r"not downloaded before, and \S+ cannot be reached from here"):
        load_items("someone/something")


def test_missing_files_list_the_nearest_names(tmp_path: Path) -> None:
    parquet(tmp_path / "train.parquet", text=["a"], label=[0])
    with pytest.raises(
        FileNotFoundError, match=r"trian.parquet: there is nothing of this name in .* \(nearest: train.parquet\)"
    ):
        load_items(tmp_path / "trian.parquet")
    with pytest.raises(FileNotFoundError, match=r"\(nearest: train.parquet\)"):
        load_items(tmp_path / "trian" / "deep" / "x.csv")


def test_loading_leaves_no_files_behind(tmp_path: Path) -> None:
    file = parquet(tmp_path / "a.parquet", image=CELLS, label=[0] * 6)
    load_items(file)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.parquet"]


def test_parts_of_one_table_need_no_split_and_those_that_lack_are_named(tmp_path: Path) -> None:
    names = [f"train-0000{part}-of-00002.parquet" for part in range(2)]
    for part, name in enumerate(names):
        parquet(tmp_path / "data" / name, text=[f"{part}"], label=[part])
    (tmp_path / "README.md").write_text("as on the hub")
    assert everything(load_items(tmp_path)) == ["0", "1"]
    assert everything(load_items(tmp_path, split="train")) == ["0", "1"]
    parquet(tmp_path / "data" / "test.parquet", text=["t"], label=[1])
    with pytest.raises(ValueError, match=r"no split was named; set `split` to one of: test, train$"):
        load_items(tmp_path)
    (tmp_path / "data" / names[0]).unlink()
    with pytest.warns(UserWarning, match="1 of the 2 files of 'train' are here; the others are missing"):
        assert everything(load_items(tmp_path, split="train")) == ["1"]


def test_a_file_named_like_the_split_is_all_of_it(tmp_path: Path) -> None:
    parquet(tmp_path / "train.parquet", text=["a"], label=[0])
    parquet(tmp_path / "train_small.parquet", text=["b"], label=[0])
    assert everything(load_items(tmp_path, split="train")) == ["a"]


def test_parts_with_columns_of_several_types(tmp_path: Path) -> None:
    parquet(tmp_path / "train-1.parquet", text=["a"], label=pa.array([0], pa.int32()))
    parquet(tmp_path / "train-2.parquet", text=["b"], label=pa.array([1], pa.int64()))
    assert targets(load_items(tmp_path, split="train")) == [0, 1]
    parquet(tmp_path / "train-2.parquet", text=["b"], label=["one"])
    with pytest.raises(ValueError, match=r"a column holds values of several types in different parts: .*label"):
        load_items(tmp_path, split="train")
