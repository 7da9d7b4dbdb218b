"""Teachers of different classes make one target over all classes."""

from __future__ import annotations

import pytest
import torch

from limbeck import methods
from limbeck.core.actors import Actors, frozen, trained
from limbeck.core.criterion import Criterion
from tests.methods.by_hand import Layered, X, Y, check_gradients, divergence, entropy

CLASSES = {"a": ["cat", "dog", "cow"], "b": ["dog", "horse", "ant"]}


def made(**given):
    student = Layered(0, 4)
    student.linear = torch.nn.Linear(4, 5)
    nets = {"student": trained(student), "teachers.a": frozen(Layered(1, 5)), "teachers.b": frozen(Layered(2, 5))}
    terms = methods.call("merged_classes", {"classes": CLASSES} | given)["terms"]
    return Criterion(terms, actors=Actors(nets), example=(X, Y)), Actors(nets)


def test_by_hand_with_equal_weights():
    criterion, actors = made(by=None, temperature=2)
    a, b = (actors[f"teachers.{name}"].model(X).detach() for name in "ab")
    a, b = a - a.mean(-1, keepdim=True), b - b.mean(-1, keepdim=True)
    target = torch.stack([a[:, 0], (a[:, 1] + b[:, 0]) / 2, a[:, 2], b[:, 1], b[:, 2]], -1)
    check_gradients(criterion((X, Y))["loss"], divergence(target, actors["student"].model(X), 2).mean(), actors)


def test_a_certain_teacher_counts_more_in_shared_classes():
    criterion, actors = made(temperature=1, combine="probabilities")
    a, b = (actors[f"teachers.{name}"].model(X).detach() for name in "ab")
    # over the five merged classes, of which each knows three; the entropy is divided by log 5
    certain = torch.stack([1 - entropy(z) / torch.log(torch.tensor(5.0)) for z in (a, b)])
    share = (certain / certain.sum(0))[..., None]
    p, q = a.softmax(-1), b.softmax(-1)
    zero = torch.zeros(2)
    wide = torch.stack(
        [torch.stack([p[:, 0], p[:, 1], p[:, 2], zero, zero], -1), torch.stack([zero, q[:, 0], zero, q[:, 1], q[:, 2]], -1)]
    )
    target = (share * wide).sum(0).log()
    expected = divergence(target, actors["student"].model(X), 1).mean()
    torch.testing.assert_close(criterion((X, Y))["loss"], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ({"a": ["cat", "dog", "cow"]}, "no class names of 'teachers.b'"),
        ({"a": ["cat", "cat", "cow"], "b": ["x", "y", "z"]}, "hold a name twice"),
        ({"a": ["cat", "dog", "cow"], "b": ["Dog", "horse", "ant"]}, "the student outputs 5 classes and .* hold 6"),
        ({**CLASSES, "c": ["x"]}, "classes names c; the teachers are"),
        ({**CLASSES, "student": ["cat", "dog", "cow", "horse", "bee"]}, "no teacher knows bee"),
    ],
)
def test_class_names_that_do_not_meet(classes, message):
    with pytest.raises(ValueError, match=message):
        made(classes=classes)
