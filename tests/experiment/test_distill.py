"""`limbeck.distill`: one call from tensors to a verdict."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import limbeck
from limbeck.data import Items
from tests.experiment.tiny_classifiers import QUICK, Own, weights


def test_one_call_with_tensors_gives_a_sentence(teacher: nn.Module, train: Items, capsys: pytest.CaptureFixture[str]) -> None:
    rows = torch.arange(600)
    x, y = train.fetch(rows).float() / 255, train.target[rows]  # type: ignore[index]
    before = weights(teacher)
    outcome = limbeck.distill(teacher, lambda: Own(4), (x[:400], y[:400]), (x[400:], y[400:]), training=QUICK)
    print(outcome)
    said = capsys.readouterr().out
    assert said.startswith("kept ")
    assert "distillation " in said
    assert outcome.verdict.control is not None
    assert outcome.verdict.cost is not None
    assert (outcome.verdict.cost.student_steps, outcome.verdict.cost.teacher_items) == (8, 8 * 32)
    assert all(torch.equal(a, b) for a, b in zip(before, weights(teacher), strict=True))
    assert outcome.student(x[:3]).shape == (3, 10)
    assert not outcome.student.training


def test_without_control_the_gain_is_unknown(teacher: nn.Module, train: Items, test: Items) -> None:
    outcome = limbeck.distill(teacher, Own(4), train, test, training=QUICK, control=False, targets={"gain": 1.0})
    assert outcome.verdict.control is None
    assert outcome.verdict.gain is None
    assert not outcome.verdict.met
    assert "had no control" in str(outcome)
