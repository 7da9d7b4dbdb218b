"""OFA-KD: the output and each exit learn the teacher's distribution; the teacher gets no gradient."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from limbeck import methods, models
from limbeck.core.actors import frozen
from limbeck.core.forward_cache import ForwardCache
from limbeck.recipe import Recipe
from limbeck.recipe.errors import RecipeError
from tests.methods.two_samples import ONE_HOT, TASK, X, Y, assert_equal, batch, criterion, gradients, net


def terms(**arguments: Any) -> Any:
    return methods.ofa_kd(task=TASK, **arguments)["terms"]


def network() -> nn.Module:
    torch.manual_seed(0)
    plain = nn.Sequential(OrderedDict(body=nn.Linear(2, 4), relu=nn.ReLU(), last=nn.Linear(4, 3)))
    return models.with_exits(plain, ["body"])


def test_output_and_exit_learn_the_adaptive_target_of_a_teacher_without_gradient() -> None:
    model, teacher = network(), net(1)
    given = {"student": model, "teacher": frozen(teacher)}
    made = criterion(terms(gamma=1.4, exit_gamma=1.2, labels=0.5, weight=2.0, exit_weight=3.0), given, batch())
    cache = ForwardCache(made.probes, batch(), made.plan)
    loss = made(batch(), forward_cache=cache)["loss"]
    assert cache.forwards == 2  # one of the student with its exit, one of the teacher
    found = gradients(loss, [model])
    p, body = teacher(X).softmax(-1).detach(), F.linear(X, model.body.weight, model.body.bias)
    output = F.linear(body.relu(), model.last.weight, model.last.bias)
    early = model.exits["body"].classifier(model.exits["body"].features(body))

    def adaptive(logits: torch.Tensor, gamma: float) -> torch.Tensor:
        return -(((p + ONE_HOT) ** gamma - ONE_HOT) * logits.log_softmax(-1)).sum(-1).mean()

    expected = 0.5 * F.cross_entropy(output, Y) + 2 * adaptive(output, 1.4) + 3 * adaptive(early, 1.2)
    torch.testing.assert_close(loss, expected)
    assert_equal(found, gradients(expected, [model]))
    made(batch())["loss"].backward()
    assert all(parameter.grad is None for parameter in teacher.parameters())


def described(student: dict[str, Any], teacher_classes: int = 10) -> Recipe:
    train = {"path": "digits", "split": "train", "limit": 64}
    teacher = {"model": "tiny_cnn", "args": {"width": 4, "size": 8, "classes": teacher_classes}, "training": {"steps": 1}}
    return Recipe.from_dict(
        {
            "name": "run",
            "data": {"train": train, "test": {"path": "digits", "split": "test", "limit": 32}},
            "teacher": teacher,
            "student": student,
            "method": "ofa_kd",
            "training": {"steps": 2, "batch_size": 32},
        }
    )


VIT = {"model": "vit_tiny", "args": {"dim": 8, "depth": 2, "heads": 2, "size": 8, "patch": 4, "channels": 1}}


def fit(recipe: Recipe, teacher: nn.Module) -> None:
    items = recipe.load()
    recipe.distillation(teacher, items.train).fit(items.train)


def test_other_classes_than_the_teachers_are_refused_before_training() -> None:
    with pytest.raises(ValueError, match=r"outputs 10 classes and the teacher 12"):
        fit(described({**VIT, "exits": ["blocks.0"]}), models.tiny_cnn(width=4, size=8, classes=12))


def test_an_exit_behind_the_pooling_is_refused_before_training() -> None:
    with pytest.raises(RecipeError, match=r"'head' lies behind the pooling.*name a layer before the pooling"):
        fit(described({**VIT, "exits": ["blocks.0", "head"]}), models.tiny_cnn(width=4, size=8))


def test_a_student_without_exits_is_refused_before_training() -> None:
    with pytest.raises(ValueError, match="exits"):
        fit(described(VIT), models.tiny_cnn(width=4, size=8))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"gamma": 0.9}, "ofa_kd: gamma is 0.9"),
        ({"exit_gamma": 0.9}, "ofa_kd: exit_gamma is 0.9"),
        ({"exit_weight": 0}, "exit_weight 0"),
        ({"labels": -1}, "labels"),
    ],
)
def test_values_out_of_range_are_refused(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        terms(**arguments)
