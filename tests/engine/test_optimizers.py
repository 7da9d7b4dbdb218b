"""Optimizers by name, their options, schedules and groups of parameters."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from limbeck.core.schedules import Cosine, Warmup
from limbeck.engine import Optimizer
from tests.engine.training_runs import accuracy, quiet, train


@pytest.mark.parametrize(
    ("name", "lr", "options"),
    [
        ("sgd", 0.1, {"momentum": 0.9, "nesterov": True}),
        ("AdamW", 1e-2, {"betas": [0.9, 0.99]}),
        ("nadam", 1e-2, {}),
        ("RMSprop", 1e-2, {}),
    ],
)
def test_any_optimizer_of_torch_by_name(name: str, lr: float, options: dict[str, object]) -> None:
    assert accuracy(train(quiet(), Optimizer(name, lr=lr, options=options)).actors["student"].model) > 0.9


def test_unknown_optimizers_and_options_are_refused_with_a_remedy() -> None:
    with pytest.raises(ValueError, match=r"unknown optimizer 'adamv'; nearest: adam"):
        Optimizer("adamv")
    with pytest.raises(ValueError, match=r"optimizer 'adamw': lr is -1; expected 0 or more"):
        Optimizer("adamw", lr=-1)
    with pytest.raises(ValueError, match=r"optimizer 'sgd'.*betas"):
        Optimizer("sgd", options={"betas": (0.9, 0.99)}).build([nn.Parameter(torch.zeros(2))])


def test_the_rate_follows_its_schedule() -> None:
    spec = Optimizer("sgd", lr=0.5, schedule=Warmup(0.1, then=Cosine()))
    built = spec.build([nn.Parameter(torch.zeros(2))])
    assert spec.set_rate(built, 0.0) == 0.0
    assert spec.set_rate(built, 0.05) == pytest.approx(0.25)
    assert spec.set_rate(built, 0.1) == pytest.approx(0.5)
    assert built.param_groups[0]["lr"] == pytest.approx(0.5)
    assert spec.set_rate(built, 1.0) == pytest.approx(0.0, abs=1e-12)


def test_weight_decay_can_leave_vectors_alone() -> None:
    model = nn.Linear(3, 2)
    groups = Optimizer("sgd", options={"weight_decay": 0.1}, decay_vectors=False).build(list(model.parameters())).param_groups
    assert [g["weight_decay"] for g in groups] == [0.1, 0.0]
    assert groups[1]["params"] == [model.bias]


def test_scaled_parameters_learn_at_their_share_of_the_rate() -> None:
    slow, fast = (nn.Parameter(torch.ones(2, 2)) for _ in range(2))
    spec = Optimizer("sgd", lr=0.5)
    built = spec.build([slow, fast], {id(slow): 0.1})
    spec.set_rate(built, 0.5)
    assert [(group["lr"], group["params"]) for group in built.param_groups] == [(0.05, [slow]), (0.5, [fast])]
