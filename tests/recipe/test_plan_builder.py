"""The general form of a recipe: actors, updates, sources, results and further controls, checked before anything is loaded."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from limbeck.core.actors import Role
from limbeck.core.teachers import Ensemble
from limbeck.data import load_items
from limbeck.data.sources import Generated
from limbeck.engine import Reinitialise, Snapshot
from limbeck.models import get
from limbeck.recipe import Recipe, RecipeError, read_yaml

DATA = {"train": {"path": "digits", "split": "train"}, "test": {"path": "digits", "split": "test"}}
CNN: dict[str, Any] = {"model": "tiny_cnn", "args": {"width": 8}}
MUTUAL = [{"hard_targets": {"student": "peers.*"}}, {"soft_targets": {"student": "peers.*", "teacher": "peers.*"}}]
ONE_LEARNS = [{"hard_targets": {"student": "peers.a"}}, {"soft_targets": {"student": "peers.a", "teacher": "peers.b"}}]
PEERS: dict[str, Any] = {
    "name": "peers",
    "data": DATA,
    "actors": {"peers.a": CNN, "peers.b": CNN},
    "stages": [{"steps": 3, "updates": [{"trains": "peers.*", "terms": MUTUAL}]}],
    "evaluate": {"a": "peers.a", "both": {"ensemble": {"of": "peers.*"}}},
}
ALONE: dict[str, Any] = {"name": "alone", "data": DATA, "student": CNN, "terms": ["hard_targets"]}
GENERATED: dict[str, Any] = {
    "name": "generated",
    "data": {"test": DATA["test"]},
    "student": CNN,
    "teacher": {**CNN, "weights": "teacher.safetensors"},
    "actors": {"generator": CNN},
    "sources": {"noise": {"generated": {"actor": "generator", "noise": 16}}},
    "stages": [
        {
            "steps": 3,
            "updates": [
                {"trains": "generator", "source": "noise", "terms": [{"logit_mse": {"weight": -1}}]},
                {"source": "noise", "repeat": 5, "fresh": True, "terms": ["soft_targets"]},
            ],
        }
    ],
    "control": False,
}


def read(content: dict[str, Any], **changes: Any) -> Recipe:
    return Recipe.from_dict({**content, **changes}, files=False)


def test_peers_are_actors_of_one_update() -> None:
    train = load_items("digits", split="train")
    plan = read(PEERS).distillation(None, train).plan
    assert {name: actor.role for name, actor in plan.actors.items()} == {"peers.a": Role.TRAINED, "peers.b": Role.TRAINED}
    assert (plan.teacher, list(plan.evaluate)) == (None, ["a", "both"])
    assert isinstance(plan.evaluate["both"], Ensemble)
    ((update,),) = [stage.updates for stage in plan.stages]
    assert (update.trains, len(update.terms)) == (("peers.*",), 2)


def test_a_recipe_needs_neither_teacher_nor_training_data() -> None:
    recipe = read(ALONE)
    assert (recipe.teacher, list(recipe.models)) == (None, ["student"])
    recipe = read(GENERATED)
    assert recipe.data.train is None
    assert list(recipe.pretrained) == ["teacher"]
    assert isinstance(recipe.plan_builder.sources["noise"], Generated)
    plan = recipe.distillation(cnn(), None, like=load_items("digits", split="test")).plan
    first, second = plan.stages[0].updates
    assert first.source is second.source
    assert (second.trains, second.repeat, second.fresh) == (("student",), 5, True)


def cnn() -> nn.Module:
    return get("tiny_cnn", classes=10)


def test_frozen_actors_train_first_and_copies_follow_their_original() -> None:
    actors = {
        "teachers.a": {**CNN, "training": {"steps": 2}, "cache": "auto"},
        "mean": {"average": "student", "decay": 0.9},
        "before": {"snapshot": "student"},
    }
    soft = {"soft_targets": {"teacher": "teachers.a"}}
    stages = [{"steps": 2, "terms": [soft]}, {"steps": 2, "terms": [soft], "snapshot": ["before"], "reinitialise": ["student"]}]
    recipe = Recipe.from_dict({"name": "x", "data": DATA, "student": CNN, "actors": actors, "stages": stages}, files=False)
    assert list(recipe.pretrained) == ["teachers.a"]
    plan = recipe.distillation(None, load_items("digits", split="train")).plan
    roles = [Role.TRAINED, Role.FROZEN, Role.AVERAGE, Role.SNAPSHOT]
    assert [actor.role for actor in plan.actors.values()] == roles
    assert (plan.actors["mean"].of, plan.actors["mean"].decay) == ("student", 0.9)
    assert list(plan.caches) == ["teachers.a"]
    assert list(plan.stages[1].on_enter) == [Snapshot("before"), Reinitialise("student")]


def updated(path: str, value: Any, content: dict[str, Any] = PEERS) -> dict[str, Any]:
    """The recipe with the first update of its first stage changed."""
    update = {**content["stages"][0]["updates"][0], path: value}
    return {**content, "stages": [{"steps": 3, "updates": [update]}]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (updated("trains", "peer.*"), r"trains: no actor matches 'peer.\*'; nearest: peers"),
        (updated("trains", "teacher", GENERATED), "trains: 'teacher' is frozen"),
        (updated("source", "nois", GENERATED), r"stages.0.updates.0.source: there is no source 'nois'; nearest: noise"),
        (updated("source", None, GENERATED), "source: it names none, and there is no training data"),
        ({**PEERS, "stages": [{"steps": 1, "terms": ["hard_targets"], "updates": []}], "student": {}}, "no actor 'student'"),
        (
            {**PEERS, "actors": {"peers.a": CNN}},
            r"matches only 'peers.a', the student itself, a cohort of one, which has nobody to learn from",
        ),
        ({**PEERS, "evaluate": {"a": "pers.a:fc"}}, "evaluate.a: there is no actor 'pers.a'; nearest: peers.a"),
        ({**PEERS, "actors": {"peers.a": CNN, "peers.b": {**CNN, "average": "peers.a"}}}, "model and average are given"),
        ({**PEERS, "actors": {"peers.a": {}}}, "an actor is one of model:"),
        ({**GENERATED, "control": True}, "control: it learns from the labels of the training data.*control: false"),
        ({**GENERATED, "controls": {"x": {"terms": ["hard_targets"]}}}, r"controls\.x\.terms: they read the training data"),
        ({**ALONE, "terms": ["soft_targets"]}, "it needs a teacher, and there is no actor 'teacher'"),
        ({**ALONE, "controls": {"x": {}}}, "a control needs what differs"),
        ({**ALONE, "controls": {"x": {"terms": ["soft_targets"]}}}, "it needs a teacher"),
        ({**GENERATED, "controls": {"x": {"sources": {"nois": {"gaussian": {}}}}}}, "has no source 'nois'; nearest: noise"),
        ({**ALONE, "terms": [], "stages": [{"steps": 1}]}, "a stage needs terms: .* or updates:"),
        ({**ALONE, "student": {}}, "a model is needed"),
        ({**ALONE, "sources": {"x": {"generatd": {}}}}, "unknown source 'generatd'; nearest: generated"),
        ({**ALONE, "targets": {"b.gain": 1}, "evaluate": {"a": "student"}}, "'b'"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_field(content: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        read(content)


def test_epochs_of_a_source_without_a_data_set_are_refused() -> None:
    stages = [{"epochs": 2, "updates": GENERATED["stages"][0]["updates"]}]
    with pytest.raises(RecipeError, match=r"epochs is 2.*give steps instead"):
        read(GENERATED, stages=stages)


def test_a_control_with_a_teacher_is_a_comparison() -> None:
    content = {**GENERATED, "data": DATA, "stages": [], "terms": ["soft_targets"], "actors": {}, "sources": {}}
    with pytest.raises(RecipeError, match=r"controls\.kd\.terms: soft_targets learns from 'teacher'"):
        read(content, controls={"kd": {"terms": ["soft_targets"]}})
    assert list(read(content, controls={"smooth": {"terms": [{"hard_targets": {"label_smoothing": 0.1}}]}}).controls) == [
        "smooth"
    ]


def test_a_control_may_name_another_source() -> None:
    other = {"noise": {"generated": {"actor": "generator", "noise": 8}}}
    recipe = read(GENERATED, controls={"short": {"sources": other}})
    job = recipe.distillation(cnn(), None, like=load_items("digits", split="test"))
    plans = job.experiment.plans
    assert list(plans) == ["student", "short"]
    lengths = [plan.stages[0].updates[1].source.noise for plan in plans.values()]
    assert lengths == [(16,), (8,)]


def test_the_general_form_survives_writing_and_reading(tmp_path: Any) -> None:
    for content in (PEERS, GENERATED):
        recipe = read(content)
        recipe.write(tmp_path / "recipe.yaml")
        written = read_yaml((tmp_path / "recipe.yaml").read_text())
        assert Recipe.from_dict(written, files=False).model_dump() == recipe.model_dump()


def test_a_teacher_that_stays_random_is_told_before_anything_is_loaded(tmp_path: Path) -> None:
    said = r"actors.peers.b: a term learns from it, and it has random weights, .* neither weights: nor training:"
    one = {**PEERS, "stages": [{"steps": 3, "updates": [{"trains": "peers.a", "terms": ONE_LEARNS}]}]}
    with pytest.warns(UserWarning, match=said):
        Recipe.from_dict(one)
    weights = tmp_path / "b.safetensors"
    weights.touch()
    for known in ({"weights": str(weights)}, {"training": {"steps": 3}}):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            Recipe.from_dict({**one, "actors": {"peers.a": CNN, "peers.b": {**CNN, **known}}})
            Recipe.from_dict(PEERS)
