"""Without data: a generator seeks images on which student and teacher differ, and the student learns on them."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import nn

from limbeck import Distillation, Stage, Term, Update, frozen, models, steps, trained
from limbeck.data.sources import Gaussian, Generated
from limbeck.evaluation import Verdict
from limbeck.objectives import SoftTargets
from limbeck.runs import evaluate_run
from tests.architecture import runs
from tests.architecture.runs import Forwards


@pytest.fixture(scope="module")
def finished(weights_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return runs.carry_out("generator", tmp_path_factory.mktemp("generator") / "run", WORK=str(weights_folder))


def data_free(teacher: nn.Module, student: object, generator: object) -> Distillation:
    noise = Generated("generator", noise=16, batch_size=32)
    adversary = Update([Term(SoftTargets(), weight=-1)], trains="generator", source=noise)
    imitation = Update([Term(SoftTargets())], source=noise, repeat=5)
    return Distillation(
        actors={"teacher": frozen(teacher), "student": trained(student), "generator": trained(generator)},
        stages=[Stage([adversary, imitation], steps(12))],
        training=runs.training("generator"),
        control=False,
        controls={"noise": {"source": Gaussian([1, 8, 8], batch_size=32)}},
    )


def test_gradient_passes_through_a_teacher_that_stays_as_it_is(digits_teacher: nn.Module, finished: Path) -> None:
    forwards, before = Forwards(), runs.weights(digits_teacher)
    handle = forwards.watch("teacher", digits_teacher)
    student = lambda: forwards.watch("student", models.get("tiny_cnn", width=4, size=8))  # noqa: E731
    generator = lambda: forwards.watch("generator", models.get("models.py:Generator"))  # noqa: E731
    job = data_free(handle, student, generator)
    best = job.fit()
    assert runs.identical(before, runs.weights(digits_teacher))
    assert all(parameter.grad is None for parameter in digits_teacher.parameters())
    assert forwards["generator", True] == forwards["teacher", True] == 12  # the steps of the generator
    assert forwards["student", True] == 12 + 5 * 12 + 5 * 12  # those, its own, and the control's on noise
    assert runs.identical(runs.weights(best), runs.saved(finished / "student"))
    assert runs.identical(runs.weights(job.arms["noise"][0]), runs.saved(finished / "results/student/noise"))


def test_the_control_on_noise_trains_no_generator(digits_teacher: nn.Module) -> None:
    job = data_free(digits_teacher, unbuilt, unbuilt)
    (stage,) = job.experiment.plans["noise"].stages
    assert [update.trains for update in stage.updates] == [("student",)]
    (stage,) = job.plan.stages
    assert [update.trains for update in stage.updates] == [("generator",), ("student",)]


def unbuilt() -> nn.Module:
    raise AssertionError("a model is built before the training")


def test_the_verdict_says_what_the_generator_gives_over_noise(finished: Path) -> None:
    verdict = Verdict.load(finished)
    result = verdict.results["student"]
    assert result.control is None
    assert result.gain is None
    assert list(result.controls) == ["noise"]
    noise, gain = result.controls["noise"], result.gains["noise"]
    assert gain.value == pytest.approx(result.distilled.metric - noise.metric)
    assert verdict.retention is not None
    assert runs.accuracy(models.load_model(finished / "student")) == pytest.approx(verdict.student.metric)
    found = evaluate_run(finished, "digits", split="test").as_json()
    assert found["arms"]["noise"]["accuracy"] == pytest.approx(noise.metric)
    assert found["accuracy"] == pytest.approx(verdict.student.metric)
    text = runs.report_text(finished)
    assert "noise" in text
    assert f"{100 * noise.metric:.2f} %" in text


def test_twelve_lines() -> None:
    assert runs.count_lines(runs.RECIPES / "generator.yaml") <= runs.LINES
    assert runs.count_parts(data_free) <= runs.LINES
