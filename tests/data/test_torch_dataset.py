"""Data sets of PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import TensorDataset

from limbeck import Run, Stage, Term, Update, steps, trained
from limbeck.data import Dataset, Items
from limbeck.data.image.pipeline import Pipeline
from limbeck.objectives import HardTargets


def test_from_torch_dataset() -> None:
    inputs, labels = torch.rand(5, 3, 4, 4), torch.arange(5)
    items = Items.from_torch_dataset(TensorDataset(inputs, labels))
    assert torch.equal(items.fetch(torch.arange(5)), inputs)
    assert items.images
    assert items.classes == 5
    picture = Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3))
    pictures = Items.from_torch_dataset([(picture, 1), (picture.convert("RGBA"), 0)])  # type: ignore[arg-type]
    assert pictures.fetch(torch.tensor([0])).shape == (1, 3, 4, 4)
    assert pictures.keys[0] == pictures.keys[1]


def test_items_that_are_not_pairs_of_one_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="row 0: expected a pair"):
        Items.from_torch_dataset([torch.rand(3)])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"row 1: shape \[4\] differs"):
        Items.from_torch_dataset([(torch.rand(3), 0), (torch.rand(4), 0)])  # type: ignore[arg-type]


class Counted:
    """Images that are made when they are asked for."""

    def __init__(self, count: int, *, random: bool = False) -> None:
        self.count, self.random, self.reads = count, random, 0

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, row: int) -> tuple[torch.Tensor, int]:
        self.reads += 1
        generator = torch.Generator().manual_seed(self.reads if self.random else row)
        return torch.rand(3, 8, 8, generator=generator), row % 3


def test_a_data_set_larger_than_the_memory_limit_is_read_again_when_a_batch_needs_it() -> None:
    data = Counted(20)
    whole = Items.from_torch_dataset(data)  # type: ignore[arg-type]
    assert data.reads <= 21
    items = Items.from_torch_dataset(data, memory_limit=1000)  # type: ignore[arg-type]
    assert not items.storage.in_memory
    assert whole.storage.in_memory
    assert items.images
    assert torch.equal(items.keys, whole.keys)
    assert torch.equal(items.target, whole.target)
    rows, before = torch.tensor([17, 3, 3]), data.reads
    assert torch.equal(items.fetch(rows), whole.fetch(rows))
    assert data.reads == before + 3
    part = items.select(torch.tensor([5, 17]))
    assert torch.equal(part.fetch(torch.tensor([1])), whole.fetch(torch.tensor([17])))


def test_a_student_learns_the_same_from_a_data_set_that_does_not_stay_in_memory() -> None:
    found = []
    for limit in (1000, 1 << 30):
        items = Items.from_torch_dataset(Counted(24), memory_limit=limit)  # type: ignore[arg-type]
        torch.manual_seed(0)
        student = nn.Sequential(nn.Flatten(), nn.Linear(192, 3))
        source = Dataset(items, 8, views={"default": Pipeline.from_spec(["horizontal_flip"])})
        Run({"student": trained(student)}, [Stage([Update([Term(HardTargets())])], steps(5))], source=source).fit()
        found.append(student[1].weight)
    assert torch.equal(*found)


def test_random_transforms_in_a_data_set_that_does_not_stay_in_memory_are_refused() -> None:
    with pytest.raises(ValueError, match="row 0 is another one when it is read again; leave random transforms out"):
        Items.from_torch_dataset(Counted(20, random=True), memory_limit=1000)  # type: ignore[arg-type]
    data = Counted(20)
    items = Items.from_torch_dataset(data, memory_limit=1000)  # type: ignore[arg-type]
    data.random = True
    with pytest.raises(ValueError, match=r"row 4 of the data set has changed since it was read; .* as views"):
        items.fetch(torch.tensor([4]))


def test_inputs_that_are_no_numbers_or_not_finite_are_refused() -> None:
    with pytest.raises(ValueError, match="row 1 holds nan"):
        Items.from_torch_dataset([(torch.zeros(2), 0), (torch.tensor([0.0, torch.nan]), 0)])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"row 0: a text; hand over Items\.from_tensors"):
        Items.from_torch_dataset([("a film", 1)])  # type: ignore[arg-type]


@pytest.mark.parametrize("label", [0.37, "1", None, torch.tensor([0, 1]), float("nan")])
def test_labels_that_are_no_classes_are_refused(label: object) -> None:
    with pytest.raises(ValueError, match=r"row 1: the label is .*; expected the number of a class\. .*from_tensors"):
        Items.from_torch_dataset([(torch.rand(3), 0), (torch.rand(3), label)])  # type: ignore[arg-type]


def test_labels_may_be_arrays_and_whole_floats() -> None:
    labels = [1, True, 2.0, np.int64(3), torch.tensor(0), torch.tensor([1.0])]
    items = Items.from_torch_dataset([(torch.rand(3), label) for label in labels])  # type: ignore[arg-type]
    assert items.target.tolist() == [1, 1, 2, 3, 0, 1]


def test_a_data_set_without_length_is_refused() -> None:
    with pytest.raises(ValueError, match="generator is no map-style data set"):
        Items.from_torch_dataset((torch.rand(3), 0) for _ in range(3))  # type: ignore[arg-type]
