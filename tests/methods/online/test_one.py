"""ONE: branches of one network, taught by their gated ensemble."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from limbeck import methods, models
from limbeck.core.forward_cache import ForwardCache
from tests.methods.two_samples import TASK, X, Y, assert_equal, batch, criterion, gradients, kl

T = 3.0


def network() -> nn.Module:
    torch.manual_seed(0)
    layers = OrderedDict(body=nn.Linear(2, 4), relu=nn.ReLU(), head=nn.Linear(4, 3))
    return models.with_branches(nn.Sequential(layers), ["head"], 3)


def terms(**arguments: Any) -> Any:
    return methods.one(task=TASK, **arguments)["terms"]


def test_branches_learn_from_labels_and_ensemble_and_the_gate_from_labels_only() -> None:
    model = network()
    heads = model.branches.heads
    made = criterion(terms(ramp=0), {"student": model}, batch())
    cache = ForwardCache(made.probes, batch(), made.plan)
    found = gradients(made(batch(), forward_cache=cache)["loss"], [model])
    assert cache.forwards == 1
    features = model.relu(model.body(X))
    logits = [
        F.linear(features, model.head.weight, model.head.bias),
        *(heads[name].copies["head"](features) for name in ("1", "2")),
    ]
    shares = heads["ensemble"].score(features).softmax(-1)
    ensemble = sum(shares[:, [k]] * z for k, z in enumerate(logits))
    assert isinstance(ensemble, torch.Tensor)
    target = (ensemble / T).softmax(-1).detach()
    loss = sum(F.cross_entropy(z, Y) for z in (*logits, ensemble)) + sum(kl(target, z, T).mean() for z in logits)
    assert isinstance(loss, torch.Tensor)
    assert_equal(found, gradients(loss, [model]))


def test_what_comes_from_the_ensemble_grows_over_the_ramp() -> None:
    soft = [term for term in terms(ramp=0.5) if term.objective.name == "soft_targets"]
    assert [soft[0].weight(progress) for progress in (0, 0.25, 0.5, 1)] == [0, 0.5, 1, 1]


def test_values_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="ramp 2"):
        terms(ramp=2)
