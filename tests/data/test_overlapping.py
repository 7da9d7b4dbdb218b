"""Batches that repeat half of the batch before."""

from __future__ import annotations

import itertools

import pytest
import torch

from limbeck import Distillation, Training, steps
from limbeck.core.source import BatchPosition
from limbeck.data import Items, OverlappingDataset, Pipeline
from limbeck.recipe.schema.training import TrainingSpec
from limbeck.teacher_cache import CacheConfig


def make(count: int = 22, batch_size: int = 8) -> OverlappingDataset:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, 1, 8, 8), dtype=torch.uint8, generator=generator)
    items = Items.from_tensors(images, torch.arange(count) % 2, classes=2)
    return OverlappingDataset(items, batch_size, {"default": Pipeline.from_spec([{"random_crop": {"padding": 2}}])})


def test_the_first_half_of_a_batch_are_the_new_items_of_the_one_before() -> None:
    data = make()
    assert data.steps_per_epoch == 5
    batches = [data.batch(BatchPosition(step, seed=3)) for step in range(11)]
    for before, after in itertools.pairwise(batches):
        assert before.index is not None
        assert after.index is not None
        assert torch.equal(before.index[4:], after.index[:4])
        assert not torch.equal(before.inputs["default"][4:], after.inputs["default"][:4])  # another view
        assert not set(after.index[4:].tolist()) & set(before.index[4:].tolist()) or after is batches[5] or after is batches[10]


def test_an_epoch_shows_each_item_once_as_new_and_views_do_not_repeat() -> None:
    data = make(20)
    new = torch.cat([data.rows(BatchPosition(step))[4:] for step in range(5)])
    assert sorted(new.tolist()) == list(range(20))
    views = [data.batch(BatchPosition(step)) for step in range(10)]
    seen = [tuple(view.inputs["default"][row].flatten().tolist()) for view in views for row in range(8)]
    assert len(set(seen)) > 0.9 * len(seen)


def test_parts_make_the_whole_and_a_batch_is_a_function_of_its_position() -> None:
    whole = make().batch(BatchPosition(7, seed=1))
    parts = [make().batch(BatchPosition(7, seed=1, part=part, parts=4)) for part in range(4)]
    assert torch.equal(whole.inputs["default"], torch.cat([part.inputs["default"] for part in parts]))


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="give an even number"):
        make(batch_size=7)
    with pytest.raises(ValueError, match="give a smaller one"):
        make(count=3, batch_size=8)
    with pytest.raises(ValueError, match="set batch_size to an even number"):
        TrainingSpec(batch_size=33, overlap=True)
    assert TrainingSpec(overlap=True).build().overlap
    with pytest.raises(ValueError, match=r"training.overlap: .*cache of 'teacher'"):
        Distillation(
            torch.nn.Linear(2, 2), torch.nn.Linear(2, 2), training=Training(steps(1), overlap=True), cache=CacheConfig()
        )
