"""CMKD: similarities within the student's modality and across to the teacher's, by hand on two pairs."""

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
    return methods.cmkd(task=Classification(), **arguments)


def test_relations_within_need_no_common_space_and_train_the_student_alone() -> None:
    student, teacher = networks(width=4)
    made = criterion(terms(soft=0, across=0, within=3, layer="body"), student, teacher)
    found = own_gradients(made(pair())["loss"], student, teacher)
    expected = own_gradients(by_hand_within(student.body(WAVE), teacher.body(IMAGE).detach()) * 3, student, teacher)
    assert_equal(found, expected)
    assert not [*made.parameters()]  # no adapter
    assert bool(found[0].any())
    assert not bool(found[2].any())  # what follows the layer


def by_hand_within(s: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    ours, theirs = (F.cosine_similarity(side[0], side[1], dim=0) for side in (s, t))
    difference = ours - theirs
    huber = difference**2 / 2 if abs(difference) <= 1 else abs(difference) - 0.5
    return 2 * huber / 4  # two of the four pairs; an item's cosine with itself is always 1


def test_relations_across_are_those_to_the_teachers_items() -> None:
    student, teacher = networks()
    made = criterion(terms(soft=0, within=0, across=5, layer="body"), student, teacher)
    found = own_gradients(made(pair())["loss"], student, teacher)
    s, t = student.body(WAVE), teacher.body(IMAGE).detach()
    loss = torch.zeros(())
    for i in range(2):
        for j in range(2):
            loss = loss + (F.cosine_similarity(s[i], t[j], dim=0) - F.cosine_similarity(t[i], t[j], dim=0)) ** 2 / 4
    assert_equal(found, own_gradients(5 * loss, student, teacher))


def test_affinities_are_distributions_over_the_teachers_items() -> None:
    student, teacher = networks()
    made = criterion(terms(soft=0, within=0, across=1, affinity=0.5, layer="body"), student, teacher)
    s, t = (F.normalize(side.detach(), dim=1) for side in (student.body(WAVE), teacher.body(IMAGE)))
    expected = torch.zeros(())
    for axis in (0, 1):
        p, q = ((side @ t.T / 0.5).softmax(axis) for side in (t, s))
        expected += (p * (p / q).log()).sum() / 4  # two directions of two items
    torch.testing.assert_close(made(pair())["loss"].detach(), expected)


def test_outputs_are_compared_by_the_losses_of_the_task() -> None:
    named = [term.objective.name for term in terms(labels=0.5)]
    assert named == ["hard_targets", "soft_targets", "rkd_cosine", "cross_similarity"]
    made = methods.cmkd(task=Retrieval(), within=0)
    assert [term.objective.name for term in made] == ["embedding_cosine", "cross_similarity"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"soft": 0, "within": 0, "across": 0}, "cmkd: soft is 0, within 0 and across 0; .* one above 0"),
        ({"within": -1}, "expected weights of 0 or more"),
        ({"affinity": 0.0}, "cmkd: affinity is 0; expected a temperature above 0"),
        ({"teacher_layer": "body"}, "cmkd: teacher_layer is 'body' and layer is not given"),
    ],
)
def test_wrong_weights_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        terms(**arguments)
