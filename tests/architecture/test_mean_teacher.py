"""Mean teacher: the average of the student teaches it on another view, with items of which few have a label."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from limbeck import Distillation, Term, Training, average, models, steps
from limbeck.core.labels import UNLABELLED
from limbeck.data import Items
from limbeck.evaluation import Verdict
from limbeck.objectives import HardTargets, SoftTargets
from limbeck.runs import evaluate_run
from tests.architecture import runs
from tests.architecture.runs import Forwards


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return runs.carry_out("mean_teacher", tmp_path_factory.mktemp("mean_teacher") / "run")


def mean_teacher(network: object, training: Training | None = None) -> Distillation:
    consistent = Term(SoftTargets(temperature=1), teacher="mean#weak", weight=0.5)
    return Distillation(
        network,
        actors={"mean": average("student", 0.9)},
        terms=[Term(HardTargets()), consistent],
        evaluate={"student": "student", "mean": "mean"},
        training=training or runs.training("mean_teacher"),
    )


def network() -> torch.nn.Module:
    return models.get("tiny_cnn", classes=10, width=4, size=8)


def test_the_average_follows_the_student_and_runs_without_gradient(finished: Path) -> None:
    forwards = Forwards()
    job = mean_teacher(lambda: forwards.watch("network", network()))
    job.fit(runs.load("mean_teacher").train)
    assert forwards["network", True] == 16 + 16  # student and control
    actors = job.trained[0].run.actors
    assert runs.identical(runs.weights(actors["mean"].model), runs.saved(finished / "results/mean/student"))
    assert runs.identical(runs.weights(actors["student"].model), runs.saved(finished / "student"))
    assert not any(parameter.requires_grad for parameter in actors["mean"].model.parameters())


def test_the_average_is_that_of_the_weights_after_each_step() -> None:
    train, after = runs.load("mean_teacher").train, []
    for count in (1, 2):
        training = replace(runs.training("mean_teacher"), length=steps(count))
        job = mean_teacher(network, training)
        job.fit(train)
        after.append({name: runs.weights(actor.model) for name, actor in job.trained[0].run.actors.items()})
    for name, parameter in network().named_parameters():
        expected = 0.9 * after[0]["mean"][name] + 0.1 * after[1]["student"][name]
        torch.testing.assert_close(after[1]["mean"][name], expected, msg=f"{name} {tuple(parameter.shape)}")


def test_items_without_a_label_change_what_the_student_learns_and_not_its_control() -> None:
    train = runs.load("mean_teacher").train
    assert train is not None
    assert train.target is not None
    images = train.fetch(torch.arange(len(train)))
    turned = torch.where((train.target == UNLABELLED).view(-1, 1, 1, 1), images.flip(2), images)  # upside down
    found = []
    for inputs in (images, turned):
        job = mean_teacher(network)
        job.fit(Items.from_tensors(inputs, train.target, classes=10))
        found.append({arm.name: runs.weights(arm.model) for arm in job.trained})
    assert not runs.identical(found[0]["student"], found[1]["student"])
    assert runs.identical(found[0]["control"], found[1]["control"])


def test_items_without_a_label_take_part_and_both_are_results(finished: Path) -> None:
    data = runs.load("mean_teacher")
    assert data.train is not None
    assert (len(data.train), len(data.train.labelled())) == (192, 40)
    verdict = Verdict.load(finished)
    assert list(verdict.results) == ["student", "mean"]
    text = runs.report_text(finished)
    for name, folder in (("student", "student"), ("mean", "results/mean/student")):
        result = verdict.results[name]
        assert result.control is not None
        assert runs.accuracy(models.load_model(finished / folder)) == pytest.approx(result.distilled.metric)
        assert f"{name} {100 * result.distilled.metric:.2f} %" in text
    found = evaluate_run(finished, "digits", split="test").as_json()["results"]
    assert found["mean"]["accuracy"] == pytest.approx(verdict.results["mean"].distilled.metric)


def test_twelve_lines() -> None:
    assert runs.count_lines(runs.RECIPES / "mean_teacher.yaml") <= runs.LINES
    assert runs.count_parts(mean_teacher) <= runs.LINES
