"""DeepInversion: images are trained until the teacher's BatchNorm layers read them like its data; a student learns on them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from limbeck import Distillation, Stage, Term, Update, frozen, models, steps, trained
from limbeck.data.sources import Gaussian, Generated
from limbeck.evaluation import Verdict
from limbeck.objectives import BatchNormStatistics, HardTargets, SoftTargets
from limbeck.runs import evaluate_run
from tests.architecture import runs
from tests.architecture.runs import Forwards

LAYERS = ("layer1.0.1", "layer2.0.1", "layer3.0.1")


@pytest.fixture(scope="module")
def finished(weights_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return runs.carry_out("inversion", tmp_path_factory.mktemp("inversion") / "run", WORK=str(weights_folder))


def inversion(teacher: nn.Module, student: object, images: object) -> Distillation:
    bank, read = Generated("images", 64, rows=64, classes=10), "teacher:statistics(*)"
    real = Term(BatchNormStatistics(), student=read, weight=10)
    invert = Update([Term(HardTargets(), student="teacher"), real], trains="images", source=bank)
    return Distillation(
        actors={"teacher": frozen(teacher), "student": trained(student), "images": trained(images)},
        stages=[Stage([invert], steps(100)), Stage([Update([Term(SoftTargets())], source=bank)], steps(100))],
        training=runs.training("inversion"),
        control=False,
        controls={"noise": {"source": Gaussian([1, 8, 8], 64)}},
    )


def test_gradient_reaches_the_pixels_through_a_teacher_that_stays_as_it_is(digits_teacher: nn.Module, finished: Path) -> None:
    forwards, before, made = Forwards(), runs.weights(digits_teacher), []

    def images() -> nn.Module:
        made.append(models.get("pixels", count=64, shape=[1, 8, 8]))
        return forwards.watch("images", made[-1])

    job = inversion(forwards.watch("teacher", digits_teacher), lambda: models.get("tiny_cnn", width=4, size=8), images)
    best = job.fit()
    assert runs.identical(before, runs.weights(digits_teacher))
    assert all(parameter.grad is None for parameter in digits_teacher.parameters())
    assert forwards["teacher", True] == forwards["images", True] == 100  # all three layers are read in one pass
    assert runs.identical(runs.weights(best), runs.saved(finished / "student"))
    untouched, _, inverted, of_control = made  # two of the checks, that of what is distilled, that of the control
    assert not torch.equal(inverted.values, untouched.values)
    assert torch.equal(of_control.values, untouched.values)


def logged(folder: Path, term: str) -> list[float]:
    """The values of a term in the log of what is distilled."""
    lines: list[dict[str, Any]] = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [line["values"][term] for line in lines if line["arm"] == "student" and term in line.get("values", {})]


@pytest.mark.parametrize("layer", LAYERS)
def test_the_distance_from_the_statistics_falls_in_every_layer(finished: Path, layer: str) -> None:
    values = logged(finished, f"batchnorm_statistics.statistics({layer})")
    assert len(values) == 5
    assert values == sorted(values, reverse=True)
    assert values[-1] < 0.6 * values[0]


def test_the_verdict_says_what_inversion_gives_over_noise(finished: Path) -> None:
    verdict = Verdict.load(finished)
    assert verdict.control is None
    noise, gain = verdict.result.controls["noise"], verdict.result.gains["noise"]
    assert gain.ci95[0] > 0.05
    assert runs.accuracy(models.load_model(finished / "student")) == pytest.approx(verdict.student.metric)
    found = evaluate_run(finished, "digits", split="test").as_json()
    assert found["accuracy"] == pytest.approx(verdict.student.metric)
    assert found["gains"]["noise"]["value"] == pytest.approx(gain.value)
    text = runs.report_text(finished)
    assert "over noise" in text
    assert f"{100 * noise.metric:.2f} %" in text


def test_twelve_lines() -> None:
    assert runs.count_lines(runs.RECIPES / "inversion.yaml") <= runs.LINES
    assert runs.count_parts(inversion) <= runs.LINES
