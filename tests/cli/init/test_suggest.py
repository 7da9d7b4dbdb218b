"""Suggested students, taps and trainings."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from limbeck import models
from limbeck.cli.init.data import UserData, load_data
from limbeck.cli.init.questions import InitError
from limbeck.cli.init.suggest import suggest_student, suggest_taps, suggest_training
from limbeck.data import Items
from limbeck.recipe import DatasetSpec
from tests.data.loading.files import parquet


@pytest.fixture(scope="module")
def digits() -> UserData:
    return load_data(DatasetSpec(path="digits", split="train"), DatasetSpec(path="digits", split="test"))


def test_a_student_has_about_a_tenth_of_the_parameters(digits: UserData) -> None:
    teacher = models.get("tiny_cnn", width=32, size=8)
    found = suggest_student(teacher, digits)
    assert found.model == "tiny_cnn"
    assert 5 < models.count_parameters(teacher) / found.parameters < 20
    assert models.count_parameters(models.get(found.model, channels=1, classes=10, **found.args)) == found.parameters


@pytest.mark.parametrize(
    ("shape", "sizes"),
    [
        ((1, 8, 8), (6_000, 60_000, 600_000)),
        ((3, 32, 32), (12_000, 300_000, 11_000_000)),
        ((3, 96, 96), (40_000_000,)),
        ((3, 224, 224), (300_000, 86_000_000)),
        ((20,), (3_000, 50_000, 5_000_000)),
    ],
)
def test_teachers_of_any_size_get_a_student_of_about_a_tenth(shape: tuple[int, ...], sizes: tuple[int, ...]) -> None:
    items = Items.from_tensors(torch.rand(4, *shape), torch.arange(4) % 3, classes=3)
    spec = DatasetSpec(path="digits")
    for size in sizes:
        teacher = nn.Linear(size // 10, 10, bias=False)  # only its size matters
        found = suggest_student(teacher, UserData(spec, spec, items, items))
        assert 5 < size / found.parameters < 20, (size, found)


def test_no_student_is_known_for_texts(tmp_path: Path) -> None:
    path = str(parquet(tmp_path / "texts.parquet", text=["good film", "bad film"] * 4, label=[0, 1] * 4))
    data = load_data(DatasetSpec(path=path), DatasetSpec(path=path))
    with pytest.raises(InitError, match=r"give one with --student \(your own: my_models.py:NAME\)"):
        suggest_student(models.get("mlp", inputs=4), data)


def test_taps_are_paired_where_there_are_feature_maps(digits: UserData) -> None:
    student, teacher = (models.get("tiny_cnn", width=width, size=8) for width in (4, 8))
    assert len(suggest_taps(student, teacher, digits)) > 0
    assert suggest_taps(models.get("mlp", inputs=64), teacher, digits) == []


def test_small_data_is_trained_for_more_epochs(digits: UserData) -> None:
    training = suggest_training(digits, mirror=True)
    assert (training.epochs, training.batch_size) == (60, 64)
    assert training.views == [{"random_crop": {"padding": 1}}, "horizontal_flip"]
    assert suggest_training(digits, mirror=False).views == [{"random_crop": {"padding": 1}}]
