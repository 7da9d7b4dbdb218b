"""Two samples and linear networks, on which the terms of a method are computed by hand."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limbeck import methods
from limbeck.core.actors import Actors, frozen, trained
from limbeck.core.criterion import Criterion

X = torch.tensor([[1.0, 0.5, -1.0], [-0.5, 1.0, 2.0]])
Y = torch.tensor([0, 2])
UNLABELLED = torch.tensor([-100, -100])


class Layered(nn.Module):
    """A body and a linear classifier; three inputs, three classes."""

    def __init__(self, seed: int, width: int = 4) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.layer3, self.linear = nn.Linear(3, width), nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.layer3(x))


def built(method: str, *, teachers: int = 0, **arguments: Any) -> tuple[Criterion, Actors]:
    """The terms of a method as a criterion, for a student and one teacher, or several: `teachers.0`, …"""
    nets = {"student": trained(Layered(0).eval())}
    nets |= {f"teachers.{k}": frozen(Layered(k + 1, 5)) for k in range(teachers)} or {"teacher": frozen(Layered(1, 5))}
    actors = Actors(nets)
    terms = methods.call(method, arguments)["terms"]
    return Criterion(terms, actors=actors, example=(X, Y)), actors


def loss(criterion: Criterion, labels: Tensor = Y, progress: float = 0.0) -> Tensor:
    return criterion((X, labels), progress=progress)["loss"]


def logits(actors: Actors, name: str) -> Tensor:
    return actors[name].model(X)


def teacher_logits(actors: Actors) -> list[Tensor]:
    return [logits(actors, name).detach() for name in actors if name.startswith("teacher")]


def cross_entropy(signal: Tensor) -> Tensor:
    return F.cross_entropy(signal, Y, reduction="none")


def divergence(target: Tensor, student: Tensor, temperature: float | Tensor) -> Tensor:
    """T²·KL of each sample, from its definition."""
    p, q = torch.softmax(target / temperature, -1), torch.softmax(student / temperature, -1)
    return temperature**2 * (p * (p / q).log()).sum(-1)


def entropy(signal: Tensor) -> Tensor:
    p = torch.softmax(signal, -1)
    return -(p * p.log()).sum(-1)


def check_gradients(value: Tensor, expected: Tensor, actors: Actors) -> None:
    """The loss is the expected one, the student has its gradient, and no teacher has any."""
    torch.testing.assert_close(value, expected)
    student = actors["student"].model
    wanted = torch.autograd.grad(expected, list(student.parameters()), retain_graph=True)
    value.backward()
    for parameter, gradient in zip(student.parameters(), wanted, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)
    assert all(p.grad is None for name in actors if name != "student" for p in actors[name].model.parameters())
