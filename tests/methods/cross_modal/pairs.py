"""Two pairs of a sound and an image, of which the student reads one and the teacher the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.core.actors import Actors, frozen, trained
from limbeck.core.batch import Batch
from limbeck.core.criterion import Criterion
from limbeck.core.terms import Term

WAVE = torch.tensor([[1.0, -0.5], [0.3, 2.0]])
IMAGE = torch.tensor([[0.2, 1.0, -1.0], [1.5, -0.4, 0.6]])
Y = torch.tensor([0, 2])


class Network(nn.Sequential):
    """Inputs to features `body` [B, width], and to three logits `head`."""

    def __init__(self, seed: int, inputs: int, width: int) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            body, head = nn.Linear(inputs, width), nn.Linear(width, 3)
        super().__init__()
        self.body, self.head = body, head


def pair(**changes: Any) -> Batch:
    given = {"wave": WAVE, "image": IMAGE}
    return Batch({"default": given}, target=Y, keys=torch.tensor([5, 9]), index=torch.tensor([0, 1]), **changes)


def networks(width: int = 2) -> tuple[Network, Network]:
    """The student that hears and the teacher that sees, whose features have two numbers."""
    return Network(1, 2, width), Network(2, 3, 2).eval()


def criterion(terms: Sequence[Term], student: nn.Module, teacher: nn.Module, batch: Batch | None = None) -> Criterion:
    actors = Actors({"student": trained(student, reads="wave"), "teacher": frozen(teacher, reads="image")})
    torch.manual_seed(7)  # of adapters
    return Criterion(terms, actors=actors, trains=["student"], example=batch or pair(), samples=2)


def own_gradients(loss: Tensor, student: nn.Module, teacher: nn.Module) -> list[Tensor]:
    """The gradients of the student's parameters, zero where there is none; the teacher has none."""
    assert all(not p.requires_grad or p.grad is None for p in teacher.parameters())
    found = torch.autograd.grad(loss, [*student.parameters()], allow_unused=True)
    return [torch.zeros_like(p) if one is None else one for p, one in zip(student.parameters(), found, strict=True)]
