"""Be your own teacher: early exits learn from the labels and from the deepest output of the same network."""

from __future__ import annotations

from pathlib import Path

import pytest

from limbeck import Distillation, Term, models
from limbeck.evaluation import Verdict
from limbeck.models import count_parameters, with_exits
from limbeck.objectives import HardTargets, Hint, SoftTargets
from limbeck.runs import evaluate_run
from tests.architecture import runs
from tests.architecture.runs import Forwards

RESULTS = ["student", "early.layer1", "early.layer2"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return runs.carry_out("exits", tmp_path_factory.mktemp("exits") / "run")


def exits(network: object) -> Distillation:
    early = "student:exits.*"
    terms = [Term(HardTargets()), Term(HardTargets(), student=early, weight=0.7)]
    terms += [Term(SoftTargets(temperature=3), student=early, teacher="student", weight=0.3)]
    terms += [Term(Hint(), student="layer2", teacher="student:layer3", weight=0.03)]
    return Distillation(network, terms=terms, evaluate={"student": "student", "early": early}, training=runs.training("exits"))


def folder(run: Path, result: str) -> Path:
    return run / ("student" if result == "student" else f"results/{result}/student")


def network() -> object:
    return with_exits(models.get("resnet_cifar", depth=8, width=4, classes=10, channels=1), ["layer1", "layer2"])


def test_the_network_runs_once_a_step_for_all_its_exits() -> None:
    forwards = Forwards()
    job = exits(lambda: forwards.watch("network", network()))  # type: ignore[arg-type]
    job.fit(runs.load("exits").train)
    assert forwards["network", True] == 12 + 12  # student and control
    assert [term.name for term in job.runs[0].updates[0].criterion.terms].count("hint") == 1
    assert list(job.arms) == [str(name) for name in ("student", "control")] + [
        f"{result}/{arm}" for result in RESULTS[1:] for arm in ("student", "control")
    ]


def test_each_exit_is_a_result_and_holds_only_what_it_needs(finished: Path) -> None:
    verdict = Verdict.load(finished)
    assert list(verdict.results) == RESULTS
    sizes = [verdict.results[name].distilled.parameters or 0 for name in RESULTS]
    assert sizes[1] < sizes[2] < sizes[0]
    macs = [verdict.results[name].distilled.macs or 0 for name in RESULTS]
    assert macs[1] < macs[2] < macs[0]
    assert sizes[0] == count_parameters(models.get("resnet_cifar", depth=8, width=4, classes=10, channels=1))
    text = runs.report_text(finished)
    for name in RESULTS:
        result = verdict.results[name]
        assert result.control is not None
        assert runs.accuracy(models.load_model(folder(finished, name))) == pytest.approx(result.distilled.metric)
        assert f"{100 * result.distilled.metric:.2f} %" in text
    found = evaluate_run(finished, "digits", split="test").as_json()["results"]
    assert {name: figures["accuracy"] for name, figures in found.items()} == pytest.approx(
        {name: result.distilled.metric for name, result in verdict.results.items()}
    )


def test_twelve_lines() -> None:
    assert runs.count_lines(runs.RECIPES / "exits.yaml") <= runs.LINES
    assert runs.count_parts(exits) <= runs.LINES
