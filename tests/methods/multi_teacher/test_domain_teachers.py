"""Each sample learns from the teacher of its domain."""

from __future__ import annotations

import pytest
import torch

from limbeck import methods
from limbeck.core.actors import Actors, frozen, trained
from limbeck.core.batch import Batch
from limbeck.core.criterion import Criterion
from tests.methods.by_hand import Layered, X, Y, check_gradients, divergence


def made(classes=None, student=3, domain=(1, 0), **given):
    nets = {"student": trained(Layered(0, 4)), "teachers.a": frozen(Layered(1, 5)), "teachers.b": frozen(Layered(2, 5))}
    nets["student"].model.linear = torch.nn.Linear(4, student)
    actors = Actors(nets)
    batch = Batch({"default": X}, target=Y, extras={"domain": torch.tensor(domain)})
    terms = methods.call("domain_teachers", {"classes": classes, "temperature": 2} | given)["terms"]
    return Criterion(terms, actors=actors, example=batch), actors, batch


def test_by_hand():
    criterion, actors, batch = made()
    a, b = (actors[f"teachers.{name}"].model(X).detach() for name in "ab")
    target = torch.stack([b[0], a[1]])
    check_gradients(criterion(batch)["loss"], divergence(target, actors["student"].model(X), 2).mean(), actors)


def test_teachers_of_different_classes():
    names = {"a": ["cat", "dog", "cow"], "b": ["dog", "horse", "ant"]}
    criterion, actors, batch = made(names, student=5)
    target = torch.full((2, 5), -60.0)  # cat, dog, cow, horse, ant
    target[0, [1, 3, 4]] = actors["teachers.b"].model(X).detach().log_softmax(-1)[0]
    target[1, [0, 1, 2]] = actors["teachers.a"].model(X).detach().log_softmax(-1)[1]
    expected = divergence(target, actors["student"].model(X), 2).mean()
    torch.testing.assert_close(criterion(batch)["loss"], expected, rtol=1e-4, atol=1e-5)


def test_a_domain_without_teacher_is_found_behind_the_items_of_the_dry_run():
    _, actors, _ = made()
    batch = Batch({"default": torch.cat([X, X])}, extras={"domain": torch.tensor([0, 1, 0, 2])})
    terms = methods.call("domain_teachers", {})["terms"]
    with pytest.raises(ValueError, match="1 of 4 items is of domain 2, and there are teachers for domains 0 to 1"):
        Criterion(terms, actors=actors, example=batch)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"domain": (0, 2)}, "1 of 2 items is of domain 2, and there are teachers for domains 0 to 1"),
        ({"field": "place"}, "items have no field 'place'"),
        ({"classes": {"a": ["x", "y", "z"], "c": ["x", "y", "z"]}}, "no class names of 'teachers.b'"),
        ({"classes": {"a": ["x", "y", "z"], "b": ["x", "y", "z"], "student": ["x", "y", "w"]}}, "no teacher knows w"),
        ({"classes": {"a": ["x", "y"], "b": ["x", "y", "z"]}}, "3 outputs and 2 class names"),
        ({"classes": {"a": ["u", "v", "w"], "b": ["x", "y", "z"]}}, "the student outputs 3 classes and the teachers' sets"),
    ],
)
def test_what_is_refused_before_the_first_step(given, message):
    with pytest.raises(ValueError, match=message):
        made(**given)
