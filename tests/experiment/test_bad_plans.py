"""Arguments that do not fit are refused before any data is read, with field, value and remedy."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from limbeck import Distillation, Term, steps
from limbeck.core.actors import Actors, average, snapshot, trained
from limbeck.core.teachers import Ensemble
from limbeck.data import Items
from limbeck.engine import Freeze, Reinitialise, Snapshot, Stage, Unfreeze, Update
from limbeck.engine.events import apply_events
from limbeck.engine.freezing import TrainableParameters
from limbeck.objectives import HardTargets, SoftTargets
from tests.experiment.tiny_classifiers import QUICK, Own, equal

HARD = Term(HardTargets())


def job(**arguments: Any) -> Distillation:
    return Distillation(**{"student": Own(4), "teacher": Own(8), "training": QUICK, **arguments})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"evaluate": "student"}, "evaluate: it is str; expected a mapping"),
        ({"evaluate": ["student"]}, "evaluate: it is list; expected a mapping"),
        ({"evaluate": {"a": Own(4)}}, r"evaluate\.a: it is Own; expected str"),
        ({"evaluate": {1: "student"}}, "evaluate: the name 1 is int"),
        ({"evaluate": {"control": "student"}}, "choose another name for the result"),
        ({"evaluate": {"f": "teacher"}}, "evaluate: nothing trains f; name what an update trains"),
        ({"evaluate": {"f": Ensemble("teacher")}}, "evaluate: nothing trains f"),
        ({"evaluate": {"f": "student", "teacher": "student"}}, r"evaluate\.teacher: 'student' is trained, so that each seed"),
        ({"evaluate": {"f": "student", "teacher": Ensemble(["teacher", "student"])}}, r"evaluate\.teacher: 'student' is"),
        (
            {"evaluate": {"f": "student", "teacher": "mean"}, "actors": {"mean": average("student")}},
            r"evaluate\.teacher: 'mean' is an average, .* name frozen actors",
        ),
        ({"actors": {"a": torch.jit.trace(Own(4), torch.zeros(1, 64))}}, "'a' is a TorchScript module, which takes no hooks"),
        ({"actors": [Own(4)]}, "actors: it is list; expected a mapping"),
        ({"actors": {"a b": Own(4)}}, "'a b' cannot be named in references; use letters"),
        ({"actors": {"../a": Own(4)}}, "'../a' cannot be named in references; use letters"),
        ({"terms": HARD}, "terms: it is Term; expected a list"),
        ({"terms": [HardTargets()]}, r"terms\.0: it is HardTargets; expected Term"),
        ({"stages": Stage([Update([HARD])], steps(1))}, "stages: it is Stage; expected a list"),
        ({"stages": [Update([HARD])]}, r"stages\.0: it is Update; expected Stage"),
        ({"stages": [Stage([Update([HARD], source="noise")], steps(1))]}, "source: it is str; expected Source or Items"),
        ({"controls": "x"}, "controls: it is str; expected a mapping"),
        ({"controls": {"x": {}}}, r"controls\.x: it has nothing that differs; give one of terms"),
        ({"controls": {"x": {"terms": []}}}, r"controls\.x: it has nothing that differs"),
        ({"seeds": 3}, "seeds: it is int; expected a list"),
        ({"seeds": (0, 0)}, r"seeds: \[0, 0\] holds one twice; give each once"),
        ({"training": {"steps": 2}}, "training: it is dict; expected Training"),
        ({"task": "classification"}, "task: it is str; expected Task"),
        ({"student_options": {"chanels_last": True}}, "student_options: unknown 'chanels_last'; nearest: channels_last"),
    ],
)
def test_an_argument_that_does_not_fit_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        job(**arguments)


@pytest.mark.parametrize(
    ("builder", "message"),
    [
        (lambda x: x[:, :10], r"is called without arguments to build a model, and needs some \(missing .*'x'\); hand over a"),
        (Own, "hand over a torch.nn.Module, or lambda"),
        (lambda: None, "built NoneType; expected a torch.nn.Module"),
    ],
)
def test_a_builder_that_builds_no_model_is_refused(builder: Any, message: str, train: Items) -> None:
    with pytest.raises(ValueError, match=message):
        job(student=builder).check(train)


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (Snapshot("techer"), "there is no actor 'techer'; nearest: teacher"),
        (Snapshot("teacher"), r"'teacher' copies no other actor; make it snapshot\(…\)"),
        (Reinitialise("studnt"), "there is no actor 'studnt'; nearest: student"),
        (Reinitialise("teacher"), "'teacher' is frozen and keeps its weights; name a trained actor"),
        (Unfreeze("teacher"), "'teacher' is frozen and keeps its weights"),
        (Freeze("studnt"), "there is no actor 'studnt'"),
    ],
)
def test_events_name_actors_that_they_can_change(event: Any, message: str) -> None:
    first = Stage([Update([HARD])], steps(1))
    with pytest.raises(ValueError, match=rf"stages\.1: {type(event).__name__}: {message}"):
        job(stages=[first, Stage([Update([HARD])], steps(1), on_exit=[event])])


def test_stages_and_updates_refuse_other_types() -> None:
    with pytest.raises(ValueError, match=r"trains is .*; name at least one actor"):
        Update([HARD], trains=[])
    with pytest.raises(ValueError, match="repeat: it is str; expected int"):
        Update([HARD], repeat="2")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="on_enter: it is Freeze; expected a list"):
        Stage([Update([HARD])], steps(1), on_enter=Freeze("student"))  # type: ignore[arg-type]
    for decay in (2, -0.1, "x"):
        with pytest.raises(ValueError, match=f"decay is {decay!r}; expected a number from 0 to 1"):
            average("student", decay)  # type: ignore[arg-type]


def test_features_are_no_predictions(train: Items) -> None:
    with pytest.raises(ValueError, match=r"evaluate\.wide: 'student:body' gives \(4, 64\), .* these are features; name"):
        job(student=Own(64), evaluate={"wide": "student:body"}).check(train)


def test_two_matches_of_patterns_cannot_be_one_result(train: Items) -> None:
    stages = [Stage([Update([Term(HardTargets(), student="*.a")], trains="*.a")], steps(1))]
    with pytest.raises(ValueError, match=r"'two\.a' and 'one\.a' would both be the result"):
        Distillation(actors={"one.a": Own(4), "two.a": Own(4)}, stages=stages, evaluate={"e": "*.a"}).check(train)


def test_a_control_on_unlabelled_data_says_how_to_go_without(train: Items) -> None:
    with pytest.raises(ValueError, match="needs labels for its control, and there are none; set control: false"):
        job(terms=[Term(SoftTargets())]).check(train.without_labels(torch.arange(len(train))))


def test_a_control_leaves_out_events_of_actors_without_part_in_it(train: Items) -> None:
    assistant = Update([Term(HardTargets(), student="assistant")], trains="assistant")
    stages = [
        Stage([assistant, Update([HARD])], steps(2)),
        Stage([Update([HARD, Term(SoftTargets(), teacher="kept")])], steps(2), on_enter=[Snapshot("kept")]),
        Stage([assistant, Update([HARD])], steps(2), on_enter=[Reinitialise("assistant")], on_exit=[Freeze("assistant")]),
    ]
    actors = {"student": Own(4), "assistant": Own(8), "kept": snapshot("assistant")}
    made = Distillation(actors=actors, stages=stages, training=QUICK)
    made.fit(train)
    assert set(made.arms) == {"student", "control"}


def test_peers_with_names_of_one_length_get_different_new_weights() -> None:
    actors = Actors({"peers.a": trained(Own(4)), "peers.b": trained(Own(4))})
    events = [Reinitialise("peers.a"), Reinitialise("peers.b")]
    apply_events(events, actors, TrainableParameters(actors), seed=0, number=0)
    assert not equal(actors["peers.a"].model, actors["peers.b"].model)


def test_a_frozen_result_in_front_does_not_choose_the_state(train: Items, test: Items) -> None:
    models = {}
    for name, evaluate in {"behind": ("student", "teacher_alone"), "in front": ("teacher_alone", "student")}.items():
        torch.manual_seed(0)
        named = {result: {"student": "student", "teacher_alone": "teacher"}[result] for result in evaluate}
        made = Distillation(lambda: Own(4), Own(8), training=QUICK, control=False, evaluate=named)
        made.fit(train, test)
        models[name] = made.best_models["student"], made.scores["student"]
    assert equal(models["behind"][0], models["in front"][0])
    assert models["behind"][1] == models["in front"][1]
