"""Be your own teacher: exits learn from labels and from the deepest output, which learns from labels alone."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from limbeck import methods, models
from limbeck.core.forward_cache import ForwardCache
from limbeck.recipe import Recipe
from limbeck.recipe.errors import RecipeError
from tests.methods.two_samples import TASK, X, Y, assert_equal, batch, criterion, gradients, kl

T = 3.0


def terms(**arguments: Any) -> Any:
    return methods.be_your_own_teacher(task=TASK, **arguments)["terms"]


def network() -> nn.Module:
    torch.manual_seed(0)
    plain = nn.Sequential(OrderedDict(body=nn.Linear(2, 4), relu=nn.ReLU(), deep=nn.Linear(4, 4), last=nn.Linear(4, 3)))
    return models.with_exits(plain, ["body"])


def test_the_deepest_output_gets_the_gradient_of_the_labels_alone() -> None:
    model = network()
    made = criterion(terms(features="deep", hint=0.5), {"student": model}, batch())
    cache = ForwardCache(made.probes, batch(), made.plan)
    found = gradients(made(batch(), forward_cache=cache)["loss"], [model, made])
    assert cache.forwards == 1
    body, exit = F.linear(X, model.body.weight, model.body.bias), model.exits["body"]
    deep = model.deep(body.relu())
    output, features = model.last(deep), exit.features(body)
    early = exit.classifier(features)
    loss = F.cross_entropy(output, Y) + 0.7 * F.cross_entropy(early, Y)
    loss = (
        loss + 0.3 * kl((output / T).softmax(-1).detach(), early, T).mean() + 0.5 * (features - deep.detach()).square().mean()
    )
    assert_equal(found, gradients(loss, [model, made]))


def test_all_share_of_the_deepest_output_leaves_the_labels_of_exits_out() -> None:
    assert [(term.objective.name, term.student) for term in terms(alpha=1)] == [
        ("hard_targets", "student"),
        ("soft_targets", "student:exits.*"),
    ]


def test_values_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="alpha is 2"):
        terms(alpha=2)


def test_maps_of_all_exits_are_hinted_to_the_deepest_one() -> None:
    model = models.with_exits(models.get("resnet_cifar", depth=8, width=4, classes=3), ["layer1", "layer2"])
    images = torch.rand(2, 3, 16, 16)
    given = type(batch())({"default": images}, target=Y)
    made = criterion(terms(features="layer3"), {"student": model}, given)
    losses = made(given)
    assert {name for name in losses if name.startswith("hint")} == {"hint.exits.layer1.features", "hint.exits.layer2.features"}
    deepest = gradients(
        losses["hint.exits.layer1.features"] + losses["soft_targets.exits.layer1"], [model.layer3, model.linear]
    )
    assert all(not gradient.any() for gradient in deepest)


def test_an_exit_behind_the_pooling_is_refused_before_training() -> None:
    train = {"path": "digits", "split": "train", "limit": 64}
    recipe = Recipe.from_dict(
        {
            "name": "run",
            "data": {"train": train, "test": {"path": "digits", "split": "test", "limit": 32}},
            "student": {"model": "tiny_cnn", "args": {"width": 4, "size": 8}, "exits": ["layer1", "linear"]},
            "method": "be_your_own_teacher",
            "training": {"steps": 2, "batch_size": 32},
        }
    )
    items = recipe.load()
    with pytest.raises(RecipeError, match=r"'linear' lies behind the pooling.*name a layer before the pooling"):
        recipe.distillation(None, items.train).fit(items.train)
