"""Names, roles and lengths are checked before data is loaded or a model is built."""

from __future__ import annotations

from typing import Any

import pytest

from limbeck import Distillation, Term, average, frozen
from limbeck.core.teachers import Ensemble, PastPredictions
from limbeck.data.sources import Generated
from limbeck.engine import Stage, Update, epochs, steps
from limbeck.experiment.plan import make_plan
from limbeck.experiment.plan_checks import check_plan
from limbeck.objectives import HardTargets, LogitMSE, SoftTargets
from tests.experiment.tiny_classifiers import QUICK, Own


def job(terms: list[Term], *, trains: Any = "student", source: Any = None, length: Any = None, **options: Any) -> Distillation:
    stages = [Stage([Update(terms, trains=trains, source=source)], length or steps(2))]
    options.setdefault("actors", {"student": Own(4), "teacher": Own(8)})
    return Distillation(stages=stages, training=QUICK, **options)


PEER = [Term(SoftTargets(), student="peers.*", teacher="peers.*")]
OTHER = [Term(SoftTargets(), student="pers.*")]
HARD, SOFT = [Term(HardTargets())], [Term(SoftTargets())]
ONE, TWO = {"peers.a": Own(4)}, {"peers.a": Own(4), "peers.b": Own(4)}
SHARED = Own(4)
CYCLE = {"student": Own(4), "a": average("b"), "b": average("a")}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"terms": PEER, "trains": "peers.*", "actors": ONE}, r"teacher: 'peers.\*' matches only 'peers.a', the student"),
        ({"terms": PEER, "trains": "peer.*", "actors": TWO}, r"trains: no actor matches 'peer.\*'; nearest: peers"),
        ({"terms": OTHER, "actors": TWO, "trains": "peers.*"}, r"terms.0 \(soft_targets\): no actor matches 'pers.\*'"),
        ({"terms": HARD, "trains": "teacher"}, "trains: 'teacher' is frozen and keeps its weights; make it"),
        ({"terms": HARD, "trains": "mean", "actors": {"student": Own(4), "mean": average("student")}}, "'mean' is an average"),
        ({"terms": SOFT, "actors": {"student": Own(4)}}, "it needs a teacher, and there is no actor 'teacher'; name one"),
        ({"terms": [Term(LogitMSE(), teacher="techer:fc")], }, "there is no actor 'techer'; nearest: teacher"),
        ({"terms": SOFT, "source": Generated("generator")}, "actor 'generator'"),
        ({"terms": SOFT, "source": Generated("teacher"), "length": epochs(3)}, "epochs is 3"),
        ({"terms": HARD, "actors": {"student": SHARED, "a": SHARED}}, r"and 'a' \(frozen\) share parameters"),
        ({"terms": HARD, "actors": CYCLE}, "actors.a: it copies itself"),
        ({"terms": HARD, "evaluate": {"x": "studnt@small"}}, "evaluate.x: there is no actor 'studnt'; nearest: student"),
        ({"terms": HARD, "evaluate": {"x": Ensemble("clients.*")}}, r"evaluate.x: no actor matches 'clients.\*'"),
        ({"terms": HARD, "evaluate": {"x": PastPredictions()}}, "evaluate.x: PastPredictions gives no predictions of its own"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_with_its_field(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        job(**arguments)


def test_a_field_says_where_it_stands_in_the_recipe() -> None:
    stages = [Stage([Update(HARD)], steps(1)), Stage([Update(HARD), Update(HARD, trains="teacher")], steps(1))]
    with pytest.raises(ValueError, match=r"stages\.1\.updates\.1\.trains: 'teacher' is frozen"):
        Distillation(Own(4), Own(8), stages=stages)


def test_an_update_without_a_source_needs_training_data() -> None:
    plan = make_plan(Own(4), Own(8), terms=SOFT)
    check_plan(plan)
    with pytest.raises(ValueError, match="source: it names none, and there is no training data"):
        check_plan(plan, data=False)


def test_a_term_may_name_another_teacher_than_the_actor_of_this_name() -> None:
    fitting = [Term(SoftTargets(), teacher="clients.*"), Term(SoftTargets(), teacher=Ensemble("clients.*"))]
    job(fitting, actors={"student": Own(4), "clients.a": frozen(Own(4)), "clients.b": frozen(Own(4))})
