"""A supernet: one network of shared weights, whose largest width learns from labels and teaches the others."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from limbeck import Distillation, Term, models
from limbeck.evaluation import Verdict
from limbeck.objectives import HardTargets, SoftTargets
from limbeck.runs import evaluate_run
from tests.architecture import runs
from tests.architecture.runs import Forwards

WIDTHS = ["max", "half", "min"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return runs.carry_out("supernet", tmp_path_factory.mktemp("supernet") / "run")


def supernet(network: object) -> Distillation:
    others = Term(SoftTargets(temperature=1), student="student@*", teacher="student@max")
    return Distillation(
        network,
        terms=[Term(HardTargets(), student="student@max"), others],
        evaluate={name: f"student@{name}" for name in WIDTHS},
        training=runs.training("supernet"),
    )


def test_each_width_runs_once_a_step(finished: Path) -> None:
    forwards = Forwards()
    job = supernet(lambda: forwards.watch("network", models.get("models.py:ElasticCNN")))
    job.fit(runs.load("supernet").train)
    student, control = 3 * 24, 3 * 24  # the control trains the same three widths on labels
    assert forwards["network", True] == student + control
    for name in WIDTHS:
        arm = "student" if name == "max" else f"results/{name}/student"
        assert runs.identical(runs.weights(job.arms[f"{name}/student"][0]), runs.saved(finished / arm))


def test_widths_share_weights_and_have_statistics_of_their_own(finished: Path) -> None:
    of_max, of_min = runs.saved(finished / "student"), runs.saved(finished / "results/min/student")
    assert torch.equal(of_max["model.linear.weight"], of_min["model.linear.weight"])
    shared = of_max["model.second_norm.running_mean"][:4], of_min["model.second_norm.running_mean"][:4]
    assert not torch.allclose(*shared)


def test_the_verdict_has_a_result_for_each_width(finished: Path) -> None:
    verdict = Verdict.load(finished)
    assert list(verdict.results) == WIDTHS
    assert verdict.teacher is None
    macs = [verdict.results[name].distilled.macs for name in WIDTHS]
    assert macs == sorted(macs, reverse=True)
    assert len(set(macs)) == 3
    text = runs.report_text(finished)
    for name in WIDTHS:
        result = verdict.results[name]
        assert result.control is not None
        model: nn.Module = models.load_model(finished / ("student" if name == "max" else f"results/{name}/student"))
        assert runs.accuracy(model) == pytest.approx(result.distilled.metric)
        assert f"{name} {100 * result.distilled.metric:.2f} %" in text
    found = evaluate_run(finished, "digits", split="test").as_json()["results"]
    assert {name: figures["accuracy"] for name, figures in found.items()} == pytest.approx(
        {name: result.distilled.metric for name, result in verdict.results.items()}
    )


def test_twelve_lines() -> None:
    assert runs.count_lines(runs.RECIPES / "supernet.yaml") <= runs.LINES
    assert runs.count_parts(supernet) <= runs.LINES
