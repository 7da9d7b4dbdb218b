"""One teacher drawn for each batch."""

from __future__ import annotations

import pytest
import torch

from limbeck.core.actors import Actors, frozen, trained
from limbeck.core.criterion import Criterion
from limbeck.core.teachers import Drawn
from limbeck.core.terms import Term
from limbeck.objectives import SoftTargets
from tests.core.networks import Net, X, Y, student


def drawn(**options):
    nets = [Net(seed=k + 1) for k in range(3)]
    actors = Actors({"student": trained(student())} | {f"teachers.{k}": frozen(net) for k, net in enumerate(nets)})
    criterion = Criterion([Term(SoftTargets(temperature=1), teacher=Drawn("teachers.*", **options))], actors=actors)
    return criterion, nets


def test_only_the_drawn_teacher_runs_and_all_are_drawn():
    criterion, nets = drawn()
    singles = [
        Criterion([Term(SoftTargets(temperature=1), teacher=f"teachers.{k}")], actors=criterion.actors)((X, Y))["loss"]
        for k in range(3)
    ]
    criterion((X, Y))  # builds it, for which all run
    before = [net.runs for net in nets]
    torch.manual_seed(0)
    losses = torch.stack([criterion((X, Y))["loss"] for _ in range(30)])
    ran = [net.runs - count for net, count in zip(nets, before, strict=True)]
    assert sum(ran) == 30
    assert all(ran)
    for loss in losses:
        assert any(torch.isclose(loss, single) for single in singles)


def test_weights_say_how_often_each_is_drawn():
    criterion, nets = drawn(weights=[0, 1, 0])
    criterion((X, Y))
    before = [net.runs for net in nets]
    for _ in range(5):
        criterion((X, Y))
    assert [net.runs - count for net, count in zip(nets, before, strict=True)] == [0, 5, 0]


@pytest.mark.parametrize(
    ("weights", "message"),
    [([0, 0, 0], "not all 0"), ([1, -1, 1], "numbers of 0 or more"), ([1, 1], "2 weights for 3 teachers")],
)
def test_weights_that_do_not_fit(weights, message):
    with pytest.raises(ValueError, match=message):
        drawn(weights=weights)[0]((X, Y))


def test_teachers_of_other_class_counts_are_refused_before_the_first_step():
    actors = Actors({"student": trained(student()), "teachers.a": frozen(Net()), "teachers.b": frozen(Net(classes=7))})
    criterion = Criterion([Term(SoftTargets(), teacher=Drawn("teachers.*"))], actors=actors)
    with pytest.raises(ValueError, match="drawn: its members output 4, 7 classes, in this order"):
        criterion((X, Y))


def test_a_drawn_teacher_that_fails_later_is_named():
    criterion, nets = drawn(weights=[0, 1, 0])
    criterion((X, Y))
    with torch.no_grad():
        next(nets[1].parameters()).fill_(torch.nan)
    with pytest.raises(ValueError, match=r"teacher 'teachers\.1': its outputs are NaN or infinite.*use averaged_teachers"):
        criterion((X, Y))


def test_the_draw_is_that_of_the_seed():
    criterion, _ = drawn()
    criterion((X, Y))

    def losses():
        torch.manual_seed(5)
        return [float(criterion((X, Y))["loss"].detach()) for _ in range(8)]

    assert losses() == losses()
