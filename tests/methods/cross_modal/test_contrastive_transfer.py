"""Contrastive transfer: the student finds the teacher's embedding of the same pair, by hand on two pairs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from limbeck import methods
from limbeck.tasks import Classification, Retrieval
from tests.methods.cross_modal.pairs import IMAGE, WAVE, criterion, networks, own_gradients, pair
from tests.methods.two_samples import assert_equal


def terms(**arguments: Any) -> Any:
    return methods.contrastive_transfer(task=Classification(), **arguments)


def test_the_student_alone_moves_towards_its_pair_and_from_the_other() -> None:
    student, teacher = networks()
    made = criterion(terms(temperature=0.5, layer="body"), student, teacher)
    found = own_gradients(made(pair())["loss"], student, teacher)
    t = F.normalize(teacher.body(IMAGE).detach(), dim=1)
    scores = F.normalize(student.body(WAVE), dim=1) @ t.T / 0.5
    loss = (F.cross_entropy(scores, torch.arange(2)) + F.cross_entropy(scores.T, torch.arange(2))) / 2
    assert_equal(found, own_gradients(loss, student, teacher))
    assert bool(found[0].any())
    assert not bool(found[2].any())
    assert all(p.grad is None for p in teacher.parameters())


def test_a_projection_makes_widths_equal_and_learns() -> None:
    student, teacher = networks(width=5)
    made = criterion(terms(layer="body"), student, teacher)
    projection = [*made.parameters()]
    assert [tuple(p.shape) for p in projection] == [(2, 5), (2,)]
    assert all(bool(one.any()) for one in torch.autograd.grad(made(pair())["loss"], projection))


def test_negatives_from_memory_are_those_of_crd() -> None:
    (term,) = terms(negatives=16, temperature=0.1)
    assert (term.objective.name, term.objective.negatives, term.objective.temperature) == ("contrastive", 16, 0.1)
    student, teacher = networks()
    made = criterion([term], student, teacher)
    before = {name: value.clone() for name, value in made.state_dict().items() if name.endswith("_bank")}
    found = own_gradients(made(pair())["loss"], student, teacher)
    assert all(bool(gradient.any()) for gradient in found)
    for name, bank in before.items():  # the rows of the two items
        rows = (made.state_dict()[name] != bank).any(1).nonzero()[:, 0]
        assert rows.tolist() == [0, 1]
    assert len(before) == 2


def test_further_terms_are_asked_for() -> None:
    made = methods.contrastive_transfer(task=Retrieval(), soft=0.5, within=2)
    assert [(term.objective.name, term.weight(0)) for term in made] == [
        ("embedding_cosine", 0.5),
        ("info_nce", 1),
        ("rkd_cosine", 2),
    ]
    assert [term.objective.name for term in terms(labels=1)] == ["hard_targets", "info_nce"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weight": 0}, "contrastive_transfer: weight is 0; expected a weight above 0"),
        ({"temperature": 0.0}, "info_nce: temperature is 0.0; use a value above 0"),
        ({"negatives": 0}, "contrastive: negatives is 0; use 1 or more"),
        ({"within": -1}, "within is -1; expected a weight of 0 or more"),
        ({"teacher_layer": "body"}, "contrastive_transfer: teacher_layer is 'body' and layer is not given"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        terms(**arguments)
