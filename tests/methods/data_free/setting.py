"""A teacher, a student and a generator so small that the terms of two made samples are computed by hand."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from limbeck import methods, steps
from limbeck.core.actors import Actors, frozen, trained
from limbeck.core.batch import Batch
from limbeck.core.criterion import Criterion
from limbeck.engine import Update
from limbeck.tasks import Classification

Z = torch.tensor([[0.5, -1.0], [2.0, 0.3]])  # the noise of two samples


class Net(nn.Module):
    """Four numbers to three logits, with a BatchNorm layer."""

    def __init__(self, seed: int, width: int = 5) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.body, self.norm, self.linear = nn.Linear(4, width), nn.BatchNorm1d(width), nn.Linear(width, 3)
            nn.init.normal_(self.norm.running_mean)
            nn.init.uniform_(self.norm.running_var, 0.5, 2.0)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.features(x))

    def features(self, x: Tensor) -> Tensor:
        return self.norm(self.body(x)).relu()


def generator() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(7)
        return nn.Sequential(nn.Linear(2, 4), nn.Tanh())


def updates(method: str, **arguments: Any) -> list[Update]:
    """The updates of a method for vectors of four numbers."""
    given = {"shape": [4], "batch_size": 2, **arguments}
    stage = methods.call(method, given, task=Classification(), length=steps(1))["stages"][0]
    return list(stage.updates)


def bound(update: Update) -> tuple[Criterion, dict[str, nn.Module]]:
    """The terms of an update on these models; what it trains is trained."""
    models = {"teacher": Net(1).eval(), "student": Net(2, 6), "generator": generator()}
    actors = Actors({"teacher": frozen(models["teacher"])} | {name: trained(models[name]) for name in ("student", "generator")})
    example = Batch({"default": Z})
    return Criterion(update.terms, actors=actors, trains=list(update.trains), generator="generator", example=example), models


def check(update: Update, expected: Any) -> None:
    """The loss is the expected one, and so is the gradient of what the update trains; all others have none.

    Args:
        expected: from teacher, student and made inputs to the loss.
    """
    criterion, models = bound(update)
    (learner,) = update.trains
    for name in ("student", "generator"):
        models[name].train(name == learner)
    loss = criterion(Batch({"default": Z}))["loss"]
    models["student"].train(learner == "student")
    made = models["generator"](Z) if learner == "generator" else models["generator"](Z).detach()
    wanted = expected(models["teacher"], models["student"], made)
    torch.testing.assert_close(loss, wanted)
    parameters = list(models[learner].parameters())
    gradients = torch.autograd.grad(wanted, parameters, allow_unused=True)
    loss.backward()
    for parameter, gradient in zip(parameters, gradients, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-4, atol=1e-6)
    frozen_then = ["teacher"] if learner == "generator" else ["teacher", "generator"]
    assert all(p.grad is None for name in frozen_then for p in models[name].parameters())
