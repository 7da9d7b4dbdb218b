"""Deep mutual learning: two networks learn from the labels and from each other."""

from __future__ import annotations

from pathlib import Path

import pytest

from limbeck import Distillation, Ensemble, Stage, Term, Update, models, steps
from limbeck.evaluation import Verdict
from limbeck.objectives import HardTargets, SoftTargets
from limbeck.runs import evaluate_run
from tests.architecture import runs
from tests.architecture.runs import Forwards

FOLDERS = {"a": "student", "b": "results/b/student", "both": "results/both/student"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return runs.carry_out("two_peers", tmp_path_factory.mktemp("two_peers") / "run")


def two_peers(a: object, b: object) -> Distillation:
    labels, others = (
        Term(HardTargets(), student="peers.*"),
        Term(SoftTargets(temperature=1), student="peers.*", teacher="peers.*"),
    )
    return Distillation(
        actors={"peers.a": a, "peers.b": b},
        stages=[Stage([Update([labels, others], trains="peers.*")], steps(12))],
        evaluate={"a": "peers.a", "b": "peers.b", "both": Ensemble("peers.*")},
        controls={"smoothing": {"terms": [Term(HardTargets(label_smoothing=0.1), student="peers.*")]}},
        training=runs.training("two_peers"),
    )


def test_each_peer_runs_once_a_step_and_trains_as_the_recipe_does(finished: Path) -> None:
    forwards = Forwards()
    widths = {"a": 4, "b": 8}
    peers = [
        lambda name=name, width=width: forwards.watch(name, models.get("tiny_cnn", classes=10, width=width, size=8))
        for name, width in widths.items()
    ]
    job = two_peers(*peers)
    job.fit(runs.load("two_peers").train)
    assert {name: forwards[name, True] for name in widths} == {"a": 3 * 12, "b": 3 * 12}  # three arms
    for name in widths:
        assert runs.identical(runs.weights(job.arms[f"{name}/student"][0]), runs.saved(finished / FOLDERS[name]))
    assert set(job.trained[0].run.actors) == {"peers.a", "peers.b"}


def test_the_control_of_a_peer_is_the_peer_that_learns_alone(finished: Path) -> None:
    alone = Distillation(
        actors={"peers.b": lambda: models.get("tiny_cnn", classes=10, width=8, size=8)},
        stages=[Stage([Update([Term(HardTargets(), student="peers.b")], trains="peers.b")], steps(12))],
        training=runs.training("two_peers"),
        control=False,
    )
    peer = runs.weights(alone.fit(runs.load("two_peers").train))
    assert runs.identical(peer, runs.saved(finished / "results/b/control"))
    assert not runs.identical(peer, runs.saved(finished / FOLDERS["b"]))


def test_the_verdict_has_both_peers_and_their_ensemble(finished: Path) -> None:
    verdict = Verdict.load(finished)
    assert (list(verdict.results), verdict.teacher) == (list(FOLDERS), None)
    text = runs.report_text(finished)
    for name, result in verdict.results.items():
        assert result.control is not None
        assert result.gain is not None
        assert list(result.controls) == list(result.gains) == ["smoothing"]
        assert runs.accuracy(models.load_model(finished / FOLDERS[name])) == pytest.approx(result.distilled.metric)
        assert f"{name} {100 * result.distilled.metric:.2f} %" in text
    parameters = [result.distilled.parameters or 0 for result in verdict.results.values()]
    assert parameters[2] == parameters[0] + parameters[1]
    found = evaluate_run(finished, "digits", split="test").as_json()["results"]
    assert {name: figures["accuracy"] for name, figures in found.items()} == pytest.approx(
        {name: result.distilled.metric for name, result in verdict.results.items()}
    )


def test_twelve_lines() -> None:
    assert runs.count_lines(runs.RECIPES / "two_peers.yaml") <= runs.LINES
    assert runs.count_parts(two_peers) <= runs.LINES
