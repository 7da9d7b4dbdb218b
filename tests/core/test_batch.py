"""Batches: which entries have a label, which positions count, and targets of several parts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from limbeck.core.actors import Actors, frozen, trained
from limbeck.core.batch import Batch, first_items
from limbeck.core.criterion import Criterion
from limbeck.core.labels import all_labelled, label_mask
from limbeck.core.terms import Term
from limbeck.objectives import HardTargets, SoftTargets

NAN = float("nan")


def test_which_entries_of_a_batch_have_a_label() -> None:
    assert label_mask(torch.tensor([0.5, NAN, 0.0])).tolist() == [1, 0, 1]
    assert label_mask(torch.tensor([3, -100])).tolist() == [1, 0]
    assert label_mask(torch.tensor([[0.5, 0.5], [0, 0]])).tolist() == [1, 0]
    tokens = torch.tensor([[-100, 4, 5], [-100, -100, -100]])
    assert label_mask(tokens).tolist() == [[0, 1, 1], [0, 0, 0]]
    assert label_mask(tokens, per_item=True).tolist() == [1, 0]
    for target in (torch.tensor([0.5, NAN]), torch.tensor([[0.5, 0.5], [0, 0]])):
        assert label_mask(target, per_item=True).tolist() == [1, 0]


TOKENS = torch.ones(2, 3)
INPUTS = {"default": torch.zeros(2, 3), "weak": torch.zeros(2, 5)}


def test_the_mask_is_what_counts_in_the_default_view() -> None:
    short, long = Batch(INPUTS, mask=TOKENS), Batch(INPUTS, counted={"default": TOKENS, "weak": torch.ones(2, 5)})
    assert short.counted["default"] is short.mask is TOKENS
    assert long.mask is TOKENS
    assert short.counted_in("weak") is TOKENS
    assert long.counted_in("weak") is long.counted["weak"]
    assert replace(long, target=torch.zeros(2)).mask is TOKENS
    assert Batch(INPUTS).counted == {}
    assert Batch(INPUTS).counted_in("weak") is None


def test_mask_and_counted_of_the_default_view_are_refused_together() -> None:
    with pytest.raises(ValueError, match="mask and counted\\['default'\\] are both given"):
        Batch(INPUTS, mask=TOKENS, counted={"default": torch.zeros(2, 3)})


def test_positions_of_an_unknown_view_are_refused() -> None:
    with pytest.raises(ValueError, match="counted has view 'strong', and the views of the inputs are default, weak"):
        Batch(INPUTS, counted={"strong": TOKENS})


def test_targets_of_several_parts_go_with_the_batch() -> None:
    target = {"boxes": torch.rand(2, 3, 4), "labels": torch.tensor([[1, -100, -100], [-100, -100, -100]])}
    batch = first_items(Batch(INPUTS, target=target).to("meta"), 1)
    assert isinstance(batch.target, dict)
    assert {name: (part.shape, part.device.type) for name, part in batch.target.items()} == {
        "boxes": ((1, 3, 4), "meta"),
        "labels": ((1, 3), "meta"),
    }
    assert label_mask({"labels": target["labels"]}, per_item=True).tolist() == [1, 0]
    assert label_mask({**target, "labelled": torch.tensor([True, True])}).tolist() == [1, 1]  # an image without any object


def test_an_objective_on_labels_refuses_targets_of_several_parts() -> None:
    batch = Batch({"default": torch.zeros(2, 3)}, target={"boxes": torch.rand(2, 4), "labels": torch.zeros(2)})
    with pytest.raises(ValueError, match="hard_targets: the target is a mapping \\(boxes, labels\\)"):
        Criterion([Term(HardTargets())], nn.Linear(3, 2))(batch)


@pytest.mark.parametrize(
    "whole", [torch.tensor([0, 3]), torch.tensor([[1, 2], [0, 0]]), torch.tensor([0.5, -2.0]), torch.zeros(0)]
)
def test_labels_without_a_gap_are_told_from_those_with_one(whole):
    assert all_labelled(whole)
    assert all_labelled(whole.to(torch.float64) if whole.is_floating_point() else whole.to(torch.int32))
    if len(whole):
        whole[-1] = NAN if whole.is_floating_point() else -100
        assert not all_labelled(whole)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32])
@pytest.mark.parametrize("name", ["virtual_teacher", "min_logit", "confidence", "least_error", "wsld", "hardness"])
def test_labels_of_short_integers_are_read_by_all_parts(dtype: torch.dtype, name: str) -> None:
    torch.manual_seed(0)
    inputs, labels = torch.randn(4, 3), torch.tensor([0, 2, 1, 1])
    models = {"student": trained(nn.Linear(3, 3)), "t.a": frozen(nn.Linear(3, 3)), "t.b": frozen(nn.Linear(3, 3))}
    teachers: dict[str, Any] = {
        "virtual_teacher": {"virtual_teacher": {}},
        "min_logit": {"min_logit": {"of": "t.*"}},
        "confidence": {"ensemble": {"of": "t.*", "by": "confidence"}},
        "least_error": {"ensemble": {"of": "t.*", "by": "least_error"}},
    }
    weight = {"wsld": "wsld", "hardness": {"hardness": {"by": "difficulty"}}}.get(name)
    term = Term(SoftTargets(), teacher=teachers.get(name, "t.a"), item_weight=weight)
    keys = torch.arange(4)
    found = []
    for target in (labels, labels.to(dtype)):
        batch = Batch({"default": inputs}, target=target, keys=keys)
        found.append(Criterion([term], actors=Actors(models), example=batch)(batch)["loss"])
    torch.testing.assert_close(found[1], found[0], rtol=0, atol=0)
