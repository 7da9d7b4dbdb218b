"""Short trainings of a tiny student, for the tests of the engine."""

from __future__ import annotations

import torch
from torch import nn

from limbeck.core.actors import frozen, trained
from limbeck.core.terms import Term
from limbeck.engine import Optimizer, Run, Settings, Stage, Update, steps
from limbeck.objectives import HardTargets
from tests.architecture.conftest import Blobs, net


def quiet(**options: object) -> Settings:
    return Settings(progress=False, device="cpu", **options)  # type: ignore[arg-type]


def accuracy(model: nn.Module) -> float:
    data = Blobs()
    with torch.no_grad():
        return float((model.eval()(data.x).argmax(1) == data.y).float().mean())


def train(settings: Settings, optimizer: Optimizer | None = None, count: int = 60, **options: object) -> Run:
    actors = {"student": trained(net(8)), "teacher": frozen(net(16))}
    stage = Stage([Update([Term(HardTargets())])], steps(count), optimizer or Optimizer("sgd", lr=0.1))
    return Run(actors, [stage], source=Blobs(), settings=settings, **options).fit()  # type: ignore[arg-type]
