"""Confidence against the label, for logits and for features, on two samples."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from limbeck import methods
from limbeck.core.actors import Actors, frozen, trained
from limbeck.core.criterion import Criterion
from tests.methods.by_hand import (
    UNLABELLED,
    Y,
    built,
    check_gradients,
    cross_entropy,
    divergence,
    entropy,
    logits,
    loss,
    teacher_logits,
)


def test_logits_by_hand():
    criterion, actors = built("ca_mkd", teachers=3, temperature=2, hint=0)
    teachers, s = teacher_logits(actors), logits(actors, "student")
    share = (1 - torch.softmax(torch.stack([cross_entropy(z) for z in teachers]), 0)) / 2
    soft = (share * torch.stack([divergence(z, s, 2) for z in teachers])).sum(0)
    check_gradients(loss(criterion), (cross_entropy(s) + soft).mean(), actors)


def test_items_without_a_label_are_weighed_by_entropy():
    criterion, actors = built("ca_mkd", teachers=2, temperature=2, hint=0)
    teachers, s = teacher_logits(actors), logits(actors, "student")
    entropies = torch.stack([entropy(z) for z in teachers])
    soft = ((1 - entropies / entropies.sum(0)) * torch.stack([divergence(z, s, 2) for z in teachers])).sum(0)
    check_gradients(loss(criterion, UNLABELLED), soft.mean(), actors)


class Pictures(nn.Module):
    """A convolution, the mean over positions and a classifier."""

    def __init__(self, seed: int, width: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.layer3, self.linear = nn.Conv2d(1, width, 3, padding=1), nn.Linear(width, 3)

    def forward(self, x):
        return self.linear(self.layer3(x).mean((2, 3)))


def test_features_by_hand():
    x = torch.randn(2, 1, 4, 4, generator=torch.Generator().manual_seed(2))
    nets = [Pictures(1, 5).eval(), Pictures(2, 6).eval()]
    actors = Actors({"student": trained(Pictures(0, 3))} | {f"teachers.{k}": frozen(net) for k, net in enumerate(nets)})
    terms = methods.call("ca_mkd", {"labels": 0, "soft": 1, "hint": 4})["terms"]
    criterion = Criterion(terms, actors=actors, example=(x, Y)).eval()
    value = criterion((x, Y))["hint"]
    maps = [one.parts[0] for one in criterion.adapters[-1].parts]
    feature = actors["student"].model.layer3(x)
    mapped = [one.student_path(feature) for one in maps]
    wrong = torch.stack(
        [
            nn.functional.cross_entropy(net.linear(m.mean((2, 3))), Y, reduction="none")
            for net, m in zip(nets, mapped, strict=True)
        ]
    ).detach()
    share = 1 - torch.softmax(wrong, 0)
    far = torch.stack([(m - net.layer3(x)).square().mean((1, 2, 3)) for net, m in zip(nets, mapped, strict=True)])
    torch.testing.assert_close(value, (share * far).sum(0).mean())
    value.backward()
    assert all(p.grad is None for net in nets for p in net.parameters())
    assert actors["student"].model.layer3.weight.grad.abs().sum() > 0
    assert actors["student"].model.linear.weight.grad is None  # the student's own classifier is not in the way
    assert all(p.grad is not None for one in maps for p in one.parameters())


@pytest.mark.parametrize(
    ("given", "message"),
    [({"soft": 0}, "soft is 0; expected a weight above 0"), ({"hint": -1}, "hint is -1"), ({"labels": -1}, "labels is -1")],
)
def test_what_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        methods.call("ca_mkd", given)
