"""The curve of early exits: who leaves where, what that costs, and how right they are."""

from __future__ import annotations

import pytest
import torch

from limbeck.evaluation.early_exit import EarlyExits, early_exits

SURE, HALF, UNSURE = 6.0, 1.5, 0.1


def curve(threshold: float = 0.9) -> EarlyExits:
    """Four items of class 0: the first exit is sure and right, sure and wrong, half sure and right, unsure and wrong."""
    first = torch.tensor([[SURE, 0], [0, SURE], [HALF, 0], [0, UNSURE]])
    last = torch.tensor([[SURE, 0], [SURE, 0], [SURE, 0], [SURE, 0]])
    return early_exits(
        [torch.stack([first, last])],
        lambda logits: float((logits.argmax(-1) == 0).float().mean()),
        exits=["exits.a", "logits"],
        macs=[40, 110],
        plain_macs=100,
        threshold=threshold,
    )


def test_work_and_metric_follow_from_where_items_leave() -> None:
    chosen = curve(0.9).chosen
    assert chosen.shares == [0.5, 0.5]
    assert chosen.work == pytest.approx((0.5 * 40 + 0.5 * 110) / 100)
    assert chosen.metric == pytest.approx(0.75)  # the second item is sure and wrong
    assert curve(0.75).chosen.shares == [0.75, 0.25]


def test_the_ends_of_the_curve_are_the_first_exit_and_the_whole_network() -> None:
    points = curve().points
    assert (points[0].threshold, points[0].work, points[0].metric) == (0, pytest.approx(0.4), pytest.approx(0.5))
    assert (points[-1].work, points[-1].metric) == (pytest.approx(1.1), 1.0)
    assert [point.work for point in points] == sorted(point.work for point in points)


def test_a_threshold_of_its_own_is_among_the_points() -> None:
    assert curve(0.8765).chosen.threshold == 0.8765
    again = EarlyExits.model_validate_json(curve().model_dump_json())
    assert again == curve()
