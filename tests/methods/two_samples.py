"""Two samples, three classes, and networks so small that losses and gradients are computed by hand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limbeck.core.actors import Actors, trained
from limbeck.core.batch import Batch
from limbeck.core.criterion import Criterion
from limbeck.core.terms import Term
from limbeck.tasks import Classification

TASK = Classification()
X = torch.tensor([[1.0, -0.5], [0.3, 2.0]])
OTHER = torch.tensor([[-1.0, 0.4], [0.8, 0.1]])  # of a second view
Y = torch.tensor([0, 2])
ONE_HOT = F.one_hot(Y, 3).float()


def net(seed: int) -> nn.Linear:
    """Two features to three logits."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Linear(2, 3)


def batch(**views: Tensor) -> Batch:
    return Batch({"default": X, **views}, target=Y, keys=torch.tensor([5, 9]), index=torch.tensor([0, 1]))


def criterion(terms: Sequence[Term], models: Mapping[str, Any], given: Batch, samples: int = 2) -> Criterion:
    """The terms on these actors; modules are trained."""
    actors = Actors({name: trained(model) if isinstance(model, nn.Module) else model for name, model in models.items()})
    trains = [name for name, model in models.items() if isinstance(model, nn.Module)]
    return Criterion(terms, actors=actors, trains=trains, example=given, samples=samples)


def gradients(loss: Tensor, models: Iterable[nn.Module]) -> list[Tensor]:
    """The gradients of all parameters, zero where there is none."""
    parameters = [parameter for model in models for parameter in model.parameters()]
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    return [torch.zeros_like(p) if one is None else one for p, one in zip(parameters, found, strict=True)]


def of_linear(by_logit: Tensor, inputs: Tensor = X) -> list[Tensor]:
    """The gradients of weight and bias, from those of the logits [2, 3]."""
    return [by_logit.T @ inputs, by_logit.sum(0)]


def assert_equal(found: Sequence[Tensor], expected: Sequence[Tensor]) -> None:
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def kl(target: Tensor, logits: Tensor, temperature: float = 1.0) -> Tensor:
    """T² Σ_c t_c (log t_c − log p_c) for each item; target: probabilities at this temperature."""
    log_p = (logits / temperature).log_softmax(-1)
    return temperature**2 * (target * (target.log() - log_p)).sum(-1)
