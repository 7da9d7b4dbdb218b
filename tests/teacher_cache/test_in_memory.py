"""Outputs of a frozen actor in memory: each item is computed once, whatever batch it is in."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from limbeck import Term, frozen, objectives, steps, trained
from limbeck.data import Dataset, Items
from limbeck.engine import Optimizer, Run, Settings, Stage, Update
from limbeck.teacher_cache.in_memory import MemoryCache


class Counting(nn.Linear):
    seen = 0

    def forward(self, x):
        self.seen += len(x)
        return super().forward(x)


def run(cache: MemoryCache | None) -> tuple[nn.Module, Counting]:
    torch.manual_seed(0)
    teacher, student = Counting(4, 3), nn.Linear(4, 3)
    items = Items.from_tensors(torch.randn(20, 4, generator=torch.Generator().manual_seed(1)))
    source = Dataset(items, 8, view_count=1, view_seed=0)
    stage = Stage([Update([Term(objectives.get("soft_targets"))])], steps(12), Optimizer("sgd", 0.1))
    actors = {"student": trained(student), "teacher": frozen(teacher, cache=cache)}
    teacher.seen = 0
    Run(actors, [stage], source=source, settings=Settings(progress=False, device="cpu", trackers=())).fit()
    return student, teacher


def test_the_student_is_the_same_and_the_teacher_runs_once_for_each_item():
    plain, often = run(None)
    cached, once = run(MemoryCache())
    assert torch.equal(plain.weight, cached.weight)
    assert often.seen > 90
    assert once.seen <= 20 + 8  # and the batch of the dry run


def test_rows_are_those_of_their_items_also_when_a_batch_holds_one_twice():
    cache, calls = MemoryCache(), []

    def compute(rows):
        calls.append(rows.tolist())
        return {"logits": torch.arange(4.0)[rows, None] * 10}

    keys, views = torch.tensor([7, 8, 7, 9]), torch.zeros(4, dtype=torch.int64)
    cache.lookup(keys[:2], views[:2], ["logits"], torch.device("cpu"), compute)
    found = cache.lookup(keys, views, ["logits"], torch.device("cpu"), compute)["logits"]
    assert calls == [[0, 1], [3]]
    assert found[:, 0].tolist() == [0, 10, 0, 30]
    again = cache.lookup(torch.tensor([9, 9]), views[:2], ["logits"], torch.device("cpu"), compute)["logits"]
    assert again[:, 0].tolist() == [30, 30]


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"2 keys and 3 signals"):
        MemoryCache.of(torch.tensor([1, 2]), torch.zeros(3, 2))
    assert not MemoryCache.of(torch.tensor([1]), torch.zeros(1, 2)).covers(["layer1"])
    one = torch.tensor([1])
    with pytest.raises(ValueError, match=r"holds dense signals only"):
        MemoryCache().lookup(one, one, ["logits"], torch.device("cpu"), lambda _: {"logits": "top-k"})
