"""The plan of an arm: what the short form stands for, roles, and what is evaluated."""

from __future__ import annotations

import pytest
from torch import nn

from limbeck import Term, average, frozen, trained
from limbeck.core.actors import Role
from limbeck.core.teachers import Ensemble
from limbeck.engine import Stage, Update, steps
from limbeck.experiment.plan import make_plan
from limbeck.objectives import HardTargets, SoftTargets
from tests.experiment.tiny_classifiers import QUICK, Own

MUTUAL = [Term(HardTargets(), student="peers.*"), Term(SoftTargets(), student="peers.*", teacher="peers.*")]


def mutual(trains: str = "peers.*") -> list[Stage]:
    return [Stage([Update(MUTUAL, trains=trains)], steps(4))]


def test_student_and_teacher_are_short_for_actors_and_one_stage(teacher: nn.Module) -> None:
    plan = make_plan(Own(4), teacher, training=QUICK)
    assert {name: actor.role for name, actor in plan.actors.items()} == {"student": Role.TRAINED, "teacher": Role.FROZEN}
    assert (plan.evaluate, plan.teacher) == ({"student": "student"}, "teacher")
    (stage,) = plan.stages
    assert stage.length == QUICK.length
    assert [update.trains for update in stage.updates] == [("student",)]
    assert [term.objective.name for term in plan.terms] == ["hard_targets", "soft_targets"]  # Hinton's


def test_what_an_update_trains_is_trained_and_all_else_frozen() -> None:
    actors = {"peers.a": Own(4), "peers.b": lambda: Own(8), "second": Own(4), "mean": average("peers.a")}
    plan = make_plan(actors=actors, stages=mutual(), training=QUICK)
    roles = {"peers.a": Role.TRAINED, "peers.b": Role.TRAINED, "second": Role.FROZEN, "mean": Role.AVERAGE}
    assert {name: actor.role for name, actor in plan.actors.items()} == roles
    assert (plan.evaluate, plan.teacher) == ({"peers.a": "peers.a", "peers.b": "peers.b"}, None)


def test_evaluate_names_results_and_the_teacher_of_the_verdict() -> None:
    actors = {"peers.a": Own(4), "peers.b": Own(4)}
    evaluate = {"both": {"ensemble": {"of": "peers.*"}}, "teacher": "peers.a"}
    plan = make_plan(actors=actors, stages=mutual(), evaluate=evaluate, training=QUICK)
    assert isinstance(plan.evaluate["both"], Ensemble)
    assert (list(plan.evaluate), plan.teacher) == (["both"], "peers.a")
    with pytest.raises(ValueError, match="evaluate: nothing is named besides the teacher"):
        make_plan(actors=actors, stages=mutual(), evaluate={"teacher": "peers.a"}, training=QUICK)


def test_a_tap_as_the_teacher_of_the_verdict_is_the_teachers(teacher: nn.Module) -> None:
    for named in ("body", ":body", "teacher:body"):
        plan = make_plan(Own(4), teacher, evaluate={"student": "student", "teacher": named}, training=QUICK)
        assert plan.teacher == "teacher:body"


def test_the_actors_of_a_stage_join_those_of_the_plan(teacher: nn.Module) -> None:
    stage = Stage([Update([Term(HardTargets())])], steps(1), actors={"assistant": Own(8)})
    assert set(make_plan(Own(4), teacher, stages=[stage]).actors) == {"student", "teacher", "assistant"}
    other = Stage([Update([Term(HardTargets())])], steps(1), actors={"assistant": Own(8)})
    with pytest.raises(ValueError, match="'assistant' is the name of another actor"):
        make_plan(Own(4), teacher, stages=[stage, other])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "give a student, or actors"),
        ({"student": Own(4), "terms": MUTUAL, "stages": mutual()}, "give terms or stages"),
        ({"student": Own(4), "actors": {"student": Own(4)}}, "actors: 'student' is given as student too"),
        ({"actors": {"student": "resnet"}}, "actors: 'student' is str; expected a module"),
    ],
)
def test_arguments_that_do_not_fit(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_plan(**arguments)


def test_an_actor_keeps_the_role_and_the_options_that_it_is_given() -> None:
    plan = make_plan(actors={"student": trained(Own(4), reads="wave"), "other": frozen(lambda: Own(4), channels_last=True)})
    assert (plan.actors["student"].reads, plan.actors["other"].channels_last) == ("wave", True)
    assert plan.actors["other"].role is Role.FROZEN
