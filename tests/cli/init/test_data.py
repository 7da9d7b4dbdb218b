"""The user's data: found by name, loaded, and checked."""

from __future__ import annotations

from pathlib import Path

import pytest

from limbeck.cli.init.data import find_splits, image_format, load_data
from limbeck.cli.init.questions import InitError
from limbeck.recipe import DatasetSpec
from tests import own
from tests.foreign_files import hostile_files, in_image_folder
from tests.runs.images import write_images


def test_images_of_many_sizes_are_brought_to_one(tmp_path: Path) -> None:
    photos = own.photos(tmp_path, per_class=3, classes=2, sides=(40, 50, 70))
    assert image_format(DatasetSpec.model_validate({"path": str(photos / "train")})) == (48, None)


def test_test_data_is_found_by_its_name(tmp_path: Path) -> None:
    for name in ("data/train", "data/val", "b"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("x-train.parquet", "x-test.parquet"):
        (tmp_path / name).touch()
    for train, expected in (("data", "data/val"), ("data/train", "data/val"), ("x-train.parquet", "x-test.parquet")):
        found = find_splits(str(tmp_path / train), None)[1]
        assert found is not None
        assert found.path == str(tmp_path / expected)
    assert find_splits(str(tmp_path / "b"), None)[1] is None
    train, test = find_splits("digits", None)
    assert test is not None
    assert (train.split, test.split) == ("train", "test")


def test_labels_and_classes_must_fit(tmp_path: Path) -> None:
    write_images(tmp_path / "a", ["cat", "dog"])
    write_images(tmp_path / "b", ["cat", "emu"])
    a, b = (DatasetSpec.model_validate(str(tmp_path / name)) for name in ("a", "b"))
    data = load_data(a, a)
    assert (data.classes, data.labelled, data.first_inputs(2).shape) == (2, 6, (2, 1, 8, 8))
    assert data.describe() == "6 training items (2 classes, 1×8×8), 6 test items"
    with pytest.raises(InitError, match=r"the classes of .*a and .*b differ: dog, emu"):
        load_data(a, b)
    with pytest.raises(InitError, match="the training data has no labels; name their column with --label"):
        load_data(DatasetSpec(path=str(tmp_path / "a"), label=False), a)


def test_words_with_tags_are_recognised(tmp_path: Path) -> None:
    (tmp_path / "train.conll").write_text("Ada B-PER\nis O\n")
    with pytest.raises(InitError, match=r"train\.conll.*task: token_classification.*docs/guide/text\.md"):
        image_format(DatasetSpec.model_validate(str(tmp_path / "train.conll")))


def test_an_image_that_announces_billions_of_pixels_is_no_header(tmp_path: Path) -> None:
    folder = in_image_folder(tmp_path / "images", "bomb.png", hostile_files()["bomb.png"])
    assert image_format(DatasetSpec.model_validate({"path": str(folder)})) == (None, None)
