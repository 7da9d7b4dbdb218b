"""A view that shows another item of the class."""

from __future__ import annotations

import pytest
import torch

from limbeck.core.labels import UNLABELLED
from limbeck.core.source import BatchPosition
from limbeck.data import Dataset, Items, Pipeline

LABELS = torch.tensor([0, 1, 0, 1, 0, 2, UNLABELLED, 1])


def items(labels: torch.Tensor = LABELS) -> Items:
    images = torch.arange(len(labels), dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 4, 4).contiguous()
    return Items.from_tensors(images, labels, classes=3)


def shown(source: Items, view: int = 0, seed: int = 0) -> list[int]:
    """The row whose image each item shows."""
    rows = torch.arange(len(source))
    images, _ = Pipeline.from_spec(["same_class"])(
        source.fetch(rows), source.keys, seed=seed, view=view, target=source.target, pool=source
    )
    return [round(255 * value) for value in images[:, 0, 0, 0].tolist()]


def test_partners_are_others_of_the_class_and_change_from_view_to_view() -> None:
    found = [shown(items(), view) for view in range(30)]
    for row, label in enumerate(LABELS.tolist()):
        partners = {view[row] for view in found}
        others = {other for other, theirs in enumerate(LABELS.tolist()) if theirs == label and other != row}
        assert partners == (others if label >= 0 and others else {row})


def test_a_view_is_a_function_of_seed_and_item() -> None:
    assert shown(items(), 3, seed=1) == shown(items(), 3, seed=1)
    assert any(shown(items(), view) != shown(items(), view, seed=1) for view in range(5))


def test_transforms_after_it_change_the_partner_and_the_labels_of_the_batch_stay() -> None:
    views = {"default": Pipeline(), "partner": Pipeline.from_spec(["same_class", "horizontal_flip"])}
    batch = Dataset(items(LABELS[:6].clone()), 6, views).batch(BatchPosition(0))
    assert batch.target is not None
    assert batch.target.dtype == torch.int64  # type: ignore[union-attr]
    classes = [LABELS[round(255 * value)].item() for value in batch.inputs["partner"][:, 0, 0, 0].tolist()]
    assert classes == batch.target.tolist()  # type: ignore[union-attr]


def test_it_needs_one_class_for_each_item() -> None:
    source = Items.from_tensors(torch.zeros(4, 1, 2, 2, dtype=torch.uint8), torch.rand(4))
    with pytest.raises(ValueError, match="same_class: needs one class for each item"):
        shown(source)
