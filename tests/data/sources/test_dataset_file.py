"""A further data set of a recipe."""

from __future__ import annotations

import pytest
import torch

from limbeck.core.source import BatchPosition, source
from limbeck.data import Dataset, Items, Pipeline


class Reader:
    def __init__(self) -> None:
        self.asked: list[object] = []
        self.images = Items.from_tensors(torch.randint(256, (20, 1, 8, 8), dtype=torch.uint8), torch.arange(20) % 3)

    def items(self, data):
        self.asked.append(data)
        return self.images

    def tokenize(self, texts):
        raise AssertionError("there are no texts")


def test_it_gives_the_batches_of_the_data_set():
    arguments = {"path": "x.parquet", "label": False, "batch_size": 4, "augment": ["horizontal_flip"]}
    named, reader = source({"dataset": arguments}), Reader()
    assert named.has_epochs  # known before the file is read
    assert named.steps_per_epoch is None
    named.load(reader)
    assert reader.asked == [{"path": "x.parquet", "label": False}]
    assert (named.samples, named.steps_per_epoch) == (20, 5)
    expected = Dataset(reader.images, 4, {"default": Pipeline.from_spec(["horizontal_flip"])})
    for one in (named, named.fresh()):
        ours, theirs = (each.batch(BatchPosition(7, seed=3)) for each in (one, expected))
        assert torch.equal(ours.inputs["default"], theirs.inputs["default"])
        assert torch.equal(ours.index, theirs.index)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "path is missing"),
        ({"path": "x", "batch_size": 0}, "batch_size is 0; expected 1 or more"),
        ({"path": "x", "augment": ["horizontal_flap"]}, "horizontal_flap.*horizontal_flip"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        source({"dataset": arguments})
    with pytest.raises(ValueError, match="its file is not read yet"):
        source({"dataset": {"path": "x"}}).batch(BatchPosition(0))
