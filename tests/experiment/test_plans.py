"""The control and further controls: what they share with what is distilled, and that they have no teacher."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from torch import nn

from limbeck import Distillation, Term, steps
from limbeck.core.batch import Batch
from limbeck.core.source import BatchPosition, Source
from limbeck.data import Items
from limbeck.data.sources import Generated
from limbeck.engine import Stage, Update
from limbeck.objectives import HardTargets, SoftTargets
from tests.experiment.tiny_classifiers import QUICK, Own, equal

SOFT = [Stage([Update([Term(SoftTargets())])], steps(1))]
SMOOTH = {"terms": [Term(HardTargets(label_smoothing=0.1))]}


def test_a_further_control_starts_from_the_same_weights_and_takes_as_many_steps(
    teacher: nn.Module, train: Items, test: Items
) -> None:
    stages = [Stage([Update([Term(SoftTargets())])], steps(5)), Stage([Update([Term(SoftTargets())])], steps(3))]
    job = Distillation(lambda: Own(4), teacher, stages=stages, training=QUICK, controls={"smoothing": SMOOTH}, seeds=(0, 1))
    job.fit(train)
    assert list(job.arms) == ["student", "control", "smoothing"]
    assert [run.clock.updates for run in job.runs] == [8] * 6
    assert not equal(job.arms["control"][0], job.arms["smoothing"][0])
    assert set(job.trained[2].run.actors) == {"student", "teacher"}
    verdict = job.evaluate(test)
    assert list(verdict.result.controls) == ["smoothing"]
    assert verdict.result.gains["smoothing"].value == pytest.approx(
        verdict.student.metric - verdict.result.controls["smoothing"].metric
    )


def test_a_control_may_have_other_actors_and_another_training(teacher: nn.Module, train: Items) -> None:
    longer = replace(QUICK, length=steps(12))
    changes = {"longer": {"training": longer, **SMOOTH}, "wider": {"student": Own(6), **SMOOTH}}
    job = Distillation(Own(4), teacher, training=QUICK, controls=changes, control=False)
    job.fit(train)
    assert [run.clock.updates for run in job.runs] == [8, 12, 8]
    assert job.arms["wider"][0].body.out_features == 6  # type: ignore[union-attr]


class Noise(Source):
    def batch(self, position: BatchPosition) -> Batch:
        import torch

        return Batch({"default": torch.rand(8, 1, 8, 8, generator=position.random_generator("noise"))})


def test_a_control_may_draw_from_another_source(teacher: nn.Module, test: Items) -> None:
    drawn: list[str] = []

    class Counted(Noise):
        def __init__(self, name: str) -> None:
            self.name = name

        def batch(self, position: BatchPosition) -> Batch:
            drawn.append(self.name)
            return super().batch(position)

    stages = [Stage([Update([Term(SoftTargets())], source=Counted("own"))], steps(4))]
    controls = {"noise": {"source": Counted("noise")}}
    job = Distillation(Own(4), teacher, stages=stages, training=QUICK, control=False, controls=controls)
    job.fit()  # without training data
    assert drawn.count("noise") > 4 <= drawn.count("own")
    assert list(job.evaluate(test).result.controls) == ["noise"]


def test_a_source_in_place_of_another_leaves_out_what_then_has_nothing_to_train(teacher: nn.Module) -> None:
    made, other, third = Generated("generator", noise=4), Noise(), Noise()
    adversary = Update([Term(SoftTargets(), weight=-1)], trains="generator", source=made)
    stages = [
        Stage([adversary, Update([Term(SoftTargets())], source=made), Update([Term(SoftTargets())], source=third)], steps(1))
    ]
    actors = {"student": Own(4), "teacher": teacher, "generator": nn.Linear(4, 64)}
    controls = {"one": {"source": {made: other}}, "all": {"source": other}, "none": {"source": {third: other}}}
    job = Distillation(actors=actors, stages=stages, control=False, controls=controls, training=QUICK)
    used = {name: [update.source for update in plan.stages[0].updates] for name, plan in job.experiment.plans.items()}
    assert used == {
        "student": [made, made, third],
        "one": [other, third],
        "all": [other, other],
        "none": [made, made, other],
    }
    with pytest.raises(ValueError, match=r"controls\.noise: source: nothing is trained on it"):
        Distillation(
            actors=actors,
            stages=[Stage([adversary], steps(1))],
            control=False,
            controls={"noise": {"source": other}},
            evaluate={"student": "student"},
        )


@pytest.mark.parametrize(
    ("controls", "message"),
    [
        (
            {"kd": {"terms": [Term(SoftTargets())]}},
            "controls.kd.terms: soft_targets learns from 'teacher', and a",
        ),
        (
            {"kd": {"stages": [Stage([Update([Term(SoftTargets())])], steps(1))]}},
            r"controls.kd.terms: soft_targets learns from",
        ),
        ({"control": SMOOTH}, "controls: 'control' names an arm and a folder"),
        ({"a/b": SMOOTH}, "controls: 'a/b' names an arm and a folder"),
        ({"x": {"term": []}}, "controls.x: 'term' cannot differ; nearest: terms"),
        ({"x": {"terms": [Term(HardTargets(), student="peer:fc")]}}, "controls.x: terms.0"),
    ],
)
def test_controls_that_are_none(teacher: nn.Module, controls: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Distillation(Own(4), teacher, training=QUICK, controls=controls)
