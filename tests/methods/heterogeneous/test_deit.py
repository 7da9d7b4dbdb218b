"""DeiT: the class head learns the labels, the distillation head the teacher, and the output is the mean of both."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limbeck import methods, models
from limbeck.core.actors import frozen
from limbeck.recipe import Recipe
from tests.methods.two_samples import ONE_HOT, TASK, X, assert_equal, batch, criterion, gradients, net, of_linear

TEACHER = net(3)


class TwoHeads(nn.Module):
    """A network whose heads read the inputs, so that gradients are seen by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.head, self.head_dist = net(0), net(1)

    def forward(self, x: Tensor) -> Tensor:
        return (self.head(x) + self.head_dist(x)) / 2


def made(**arguments: Any) -> tuple[TwoHeads, Any]:
    model = TwoHeads()
    terms = methods.deit(task=TASK, **arguments)["terms"]
    return model, criterion(list(terms), {"student": model, "teacher": frozen(TEACHER)}, batch())


def test_each_head_gets_the_gradient_of_its_own_target() -> None:
    model, loss = made()
    z, d, t = model.head(X).detach(), model.head_dist(X).detach(), TEACHER(X)
    chosen = F.one_hot(t.argmax(-1), 3).float()
    expected = of_linear(0.5 * (z.softmax(-1) - ONE_HOT) / 2) + of_linear(0.5 * (d.softmax(-1) - chosen) / 2)
    assert_equal(gradients(loss(batch())["loss"], [model.head, model.head_dist]), expected)


def test_soft_distillation_is_the_divergence_at_the_distillation_head() -> None:
    model, loss = made(kind="soft", alpha=0.25, temperature=2.0)
    z, d, t = model.head(X).detach(), model.head_dist(X).detach(), TEACHER(X)
    pull = 2 * ((d / 2).softmax(-1) - (t / 2).softmax(-1))
    expected = of_linear(0.75 * (z.softmax(-1) - ONE_HOT) / 2) + of_linear(0.25 * pull.detach() / 2)
    total = loss(batch())["loss"]
    assert_equal(gradients(total, [model.head, model.head_dist]), expected)
    loss(batch())["loss"].backward()
    assert all(parameter.grad is None for parameter in TEACHER.parameters())


def test_an_item_without_a_label_trains_the_distillation_head_alone() -> None:
    model, loss = made()
    given = batch()
    given = type(given)(given.inputs, target=torch.tensor([-100, -100]), keys=given.keys, index=given.index)
    found = gradients(loss(given)["loss"], [model.head, model.head_dist])
    assert [bool(gradient.any()) for gradient in found] == [False, False, True, True]


def test_the_defaults_are_the_papers() -> None:
    labels, taught = methods.deit(task=TASK, kind="soft")["terms"]
    assert (labels.weight(0), taught.weight(0), taught.objective.temperature) == (0.9, 0.1, 3.0)
    assert [term.student for term in (labels, taught)] == ["student:head", "student:head_dist"]


def described(args: dict[str, Any]) -> Recipe:
    train = {"path": "digits", "split": "train", "limit": 64}
    return Recipe.from_dict(
        {
            "name": "run",
            "data": {"train": train, "test": {"path": "digits", "split": "test", "limit": 32}},
            "teacher": {"model": "tiny_cnn", "args": {"width": 4, "size": 8}, "training": {"steps": 1}},
            "student": {"model": "vit_tiny", "args": {"dim": 8, "depth": 1, "heads": 2, "size": 8, "channels": 1, **args}},
            "method": "deit",
            "training": {"steps": 2, "batch_size": 32},
        }
    )


def test_a_transformer_without_the_token_is_refused_before_training() -> None:
    recipe = described({})
    items = recipe.load()
    with pytest.raises(ValueError, match=r"unknown tap 'head_dist'.*nearest: head"):
        recipe.distillation(models.tiny_cnn(width=4, size=8), items.train).fit(items.train)


def test_a_teacher_of_other_classes_is_refused_before_training() -> None:
    recipe = described({"distilled": True})
    items = recipe.load()
    with pytest.raises(ValueError, match="12"):
        recipe.distillation(models.tiny_cnn(width=4, size=8, classes=12), items.train).fit(items.train)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "both"}, "kind is 'both'"),
        ({"alpha": 1.0}, "alpha is 1"),
        ({"temperature": 0.0}, "temperature 0"),
        ({"distillation_head": "student:head"}, "name two heads"),
    ],
)
def test_values_out_of_range_are_refused(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        methods.deit(task=TASK, **arguments)
