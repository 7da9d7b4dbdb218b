"""Whether runs were measured on the same test data."""

from __future__ import annotations

import torch

from limbeck.data import Items
from limbeck.evaluation.test_data import other_test_data, test_data_fingerprint

from .conftest import make

fingerprint = test_data_fingerprint
fingerprint.__test__ = False


def items(rows: list[int], labels: list[int] | None = None) -> Items:
    inputs = torch.arange(12.0).view(6, 2)[rows]
    return Items.from_tensors(inputs, torch.tensor([row % 3 for row in rows] if labels is None else labels), classes=3)


def test_the_order_of_the_items_does_not_count_and_items_and_labels_do() -> None:
    same = fingerprint(items([0, 1, 2, 3]), 4)
    assert same is not None
    assert fingerprint(items([3, 1, 0, 2]), 4) == same
    assert fingerprint(items([0, 1, 2, 4]), 4) != same
    assert fingerprint(items([0, 1, 2, 3], [0, 1, 2, 1]), 4) != same
    assert fingerprint(items([0, 1, 2, 3]), 3) is None  # windows of three texts


def test_positions_of_labels_in_texts_do_not_count() -> None:
    spans = [torch.tensor([[0, 1], [2, 3]]), torch.tensor([[1, 2], [2, 3]])]
    found = {fingerprint(Items.from_tensors(["one text", "another text"], target), 2) for target in spans}
    assert len(found) == 1


def test_runs_on_other_test_data_are_named() -> None:
    first = make(items=100).model_copy(update={"test_data": "a"})
    runs = {"first": first, "same": first, "more": make(items=200), "others": first.model_copy(update={"test_data": "b"})}
    runs["older"] = first.model_copy(update={"test_data": None})
    said = other_test_data(runs)
    assert said == [
        "more: measured on other test data than first (200 and 100 items), so that its figures cannot be compared with those",
        "others: measured on other test items than first, or on the same with other labels or columns, so that its figures "
        "cannot be compared with those",
    ]
