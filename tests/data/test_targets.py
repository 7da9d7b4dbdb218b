"""Labels that are classes, numbers or positions."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from limbeck.core.labels import label_mask
from limbeck.data import Items
from limbeck.data.dataset import unaugmented_batch

NAN = float("nan")


COUNT = 60


MISSING = torch.arange(0, COUNT, 5)


def numbers() -> Tensor:
    target = torch.linspace(-2, 2, COUNT)
    target[MISSING] = NAN
    return target


def positions() -> Tensor:
    target = torch.stack([torch.arange(COUNT), torch.arange(COUNT) + 2], 1)
    target[MISSING] = -100
    return target


@pytest.fixture(params=[numbers, positions], ids=["numbers", "positions"])
def items(request: pytest.FixtureRequest) -> Items:
    inputs = torch.rand(COUNT, 3, generator=torch.Generator().manual_seed(0))
    return Items.from_tensors(inputs, request.param())


def same(one: Tensor | None, other: Tensor | None) -> bool:
    assert one is not None
    assert other is not None
    return one.dtype == other.dtype and torch.equal(one.nan_to_num(-1e9), other.nan_to_num(-1e9))


def without_label(items: Items) -> list[int]:
    assert items.target is not None
    return (label_mask(items.target, per_item=True) == 0).nonzero()[:, 0].tolist()


def test_unlabelled_items_are_counted(items: Items) -> None:
    assert items.classes is None
    assert repr(items) == f"Items({COUNT}, 48 labelled)"
    assert without_label(items) == MISSING.tolist()
    known = items.labelled()
    assert len(known) == 48
    assert not without_label(known)


def test_selecting_and_unlabelling(items: Items) -> None:
    rows = torch.tensor([7, 0, 31])
    assert items.target is not None
    assert same(items.select(rows).target, items.target[rows])
    less = items.without_labels(torch.tensor([1, 2]))
    assert without_label(less) == sorted({1, 2} | set(MISSING.tolist()))
    assert without_label(items) == MISSING.tolist()
    assert same(unaugmented_batch(items, rows).target, items.target[rows])


def test_a_split_takes_its_share_of_the_labelled_and_of_the_others(items: Items) -> None:
    first, second = items.split(0.75)
    assert (len(first), len(second)) == (45, 15)
    assert (len(first.labelled()), len(second.labelled())) == (36, 12)
    assert not set(first.keys.tolist()) & set(second.keys.tolist())


def test_labels_are_kept_by_key(items: Items) -> None:
    few, more = items.keep_labels(10), items.keep_labels(20)
    assert len(few.labelled()) == 10
    assert set(few.labelled().keys.tolist()) < set(more.labelled().keys.tolist())
    shuffled = items.select(torch.randperm(COUNT, generator=torch.Generator().manual_seed(1)))
    assert set(shuffled.keep_labels(10).labelled().keys.tolist()) == set(few.labelled().keys.tolist())
    with pytest.raises(ValueError, match="count=49: expected 1 to 48"):
        items.keep_labels(49)


def test_fingerprints_depend_on_labels(items: Items) -> None:
    again = items.select(torch.arange(COUNT))
    assert again.fingerprint() == items.fingerprint() != items.without_labels(torch.tensor([1])).fingerprint()


def test_all_nans_have_one_fingerprint() -> None:
    inputs = torch.rand(2, 3)
    negative = torch.tensor([1.0, -NAN])
    assert negative.view(torch.int32)[1] != torch.tensor(NAN).view(torch.int32)
    one, other = Items.from_tensors(inputs, negative), Items.from_tensors(inputs, [1.0, NAN])
    assert one.fingerprint() == other.fingerprint()


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (torch.tensor([0.0, float("inf"), 1.0]), r"row 1 holds inf; expected a finite number, or NaN"),
        (
            torch.tensor([[0, 1], [2, -100], [3, 4]]),
            r"row 1 holds \[2, -100\]; expected positions of 0 or more, or -100 in every",
        ),
        (torch.tensor([[0, 1], [2, 3], [-1, 4]]), r"row 2 holds \[-1, 4\]; expected positions"),
        (
            torch.rand(3, 2),
            r"expected class indices \[N\], numbers .*found torch.float32 of shape \[3, 2\]; give of one-hot rows",
        ),
        (torch.rand(3, 1), r"shape \[3, 1\]; give labels\.flatten\(\)"),
        (torch.zeros(3, 2, 2, dtype=torch.int64), r"found torch.int64 of shape \[3, 2, 2\]"),
        ([0.5, 1.5], "target: expected one for each of 3 items"),
    ],
)
def test_wrong_labels_are_refused(targets: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Items.from_tensors(torch.rand(3, 2), targets)


def test_classes_of_other_labels_are_refused() -> None:
    with pytest.raises(ValueError, match=r"classes=3 needs one class index per item, found torch.int64 of shape \[2, 2\]"):
        Items.from_tensors(torch.rand(2, 2), torch.zeros(2, 2, dtype=torch.int64), classes=3)
