"""A bounded memory of items."""

from __future__ import annotations

import pytest
import torch

from limbeck.core.batch import Batch
from limbeck.data.sources.item_memory import ItemMemory, concatenate


def numbers(start: int, stop: int) -> Batch:
    rows = torch.arange(start, stop)
    return Batch({"default": rows[:, None].float(), "other": {"deep": rows}}, target=rows, index=rows)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def kept(memory: ItemMemory) -> list[int]:
    return memory.rows(torch.arange(len(memory))).target.tolist()


def test_the_newest_items_stay_with_all_their_columns():
    memory = ItemMemory(5, "newest")
    assert len(memory) == 0
    for start in (0, 3, 6):
        memory.add(numbers(start, start + 3), seeded())
    assert sorted(kept(memory)) == [4, 5, 6, 7, 8]
    batch = memory.rows(torch.tensor([1, 2]))
    assert torch.equal(batch.inputs["default"][:, 0].long(), batch.target)
    assert torch.equal(batch.inputs["other"]["deep"], batch.index)
    memory.add(numbers(20, 40), seeded())  # more than it holds
    assert sorted(kept(memory)) == [35, 36, 37, 38, 39]


def test_a_random_memory_keeps_each_item_equally_often():
    counts = torch.zeros(40)
    for seed in range(600):
        memory, generator = ItemMemory(10, "random"), seeded(seed)
        for start in range(0, 40, 8):
            memory.add(numbers(start, start + 8), generator)
        counts[kept(memory)] += 1
    assert counts.sum() == 6000
    assert (counts / 600 - 0.25).abs().max() < 0.07  # four standard deviations


@pytest.mark.parametrize("keep", ["newest", "random"])
def test_a_saved_memory_goes_on_as_before(keep):
    whole, first, second = (ItemMemory(6, keep) for _ in range(3))
    for memory in (whole, first):
        memory.add(numbers(0, 4), seeded(1))
        memory.add(numbers(4, 8), seeded(2))
    second.load_state_dict(first.state_dict())
    for memory in (whole, second):
        memory.add(numbers(8, 12), seeded(3))
    assert kept(whole) == kept(second)
    second.load_state_dict(ItemMemory(6, keep).state_dict())
    assert len(second) == 0


def test_items_of_several_shapes_are_refused():
    memory = ItemMemory(6, "newest")
    memory.add(numbers(0, 2), seeded())
    other = Batch({**numbers(0, 2).inputs, "default": torch.zeros(2, 2)}, target=torch.zeros(2), index=torch.zeros(2))
    with pytest.raises(ValueError, match=r"default of an item has shape \[1\] .* \[2\]"):
        memory.add(other, seeded())
    with pytest.raises(ValueError, match=r"index of an item has shape None .* and \[\]"):
        concatenate(Batch({"default": torch.zeros(2, 1)}), Batch({"default": torch.zeros(2, 1)}, index=torch.zeros(2)))
