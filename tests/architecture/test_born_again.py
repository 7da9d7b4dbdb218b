"""Born-again networks: each generation starts anew and learns from the one before."""

from __future__ import annotations

from pathlib import Path

import pytest

from limbeck import Distillation, Ensemble, Stage, Term, Update, models, snapshot, steps
from limbeck.engine import Reinitialise, Snapshot
from limbeck.evaluation import Verdict
from limbeck.objectives import HardTargets, SoftTargets
from limbeck.runs import evaluate_run
from tests.architecture import runs


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return runs.carry_out("born_again", tmp_path_factory.mktemp("born_again") / "run")


def born_again(network: object, generations: int = 2) -> Distillation:
    labels, before = Term(HardTargets()), Term(SoftTargets(temperature=1), teacher="before")
    anew = [Snapshot("before"), Reinitialise("student")]
    first = Stage([Update([labels])], steps(16))
    return Distillation(
        network,
        actors={"before": snapshot("student")},
        stages=[first, *(Stage([Update([labels, before])], steps(16), on_enter=anew) for _ in range(generations - 1))],
        evaluate={"student": "student", "generations": Ensemble(["student", "before"])},
        training=runs.training("born_again"),
    )


def network() -> object:
    return models.get("tiny_cnn", classes=10, width=4, size=8)


def test_a_generation_learns_from_the_one_before_as_in_the_recipe(finished: Path) -> None:
    train = runs.load("born_again").train
    one = Distillation(network, stages=born_again(network).plan.stages[:1], training=runs.training("born_again"), control=False)
    job = born_again(network)
    first, last = one.fit(train), job.fit(train)
    actors = job.trained[0].run.actors
    assert runs.identical(runs.weights(first), runs.weights(actors["before"].model))  # kept as it was after the first stage
    assert not runs.identical(runs.weights(first), runs.weights(last))
    assert runs.identical(runs.weights(last), runs.saved(finished / "student"))


def test_the_control_begins_its_generations_anew_too(finished: Path) -> None:
    job = born_again(network)
    job.fit(runs.load("born_again").train)
    student, control = job.trained
    assert [run.run.clock.updates for run in (student, control)] == [32, 32]
    same = runs.weights(student.run.actors["before"].model), runs.weights(control.run.actors["before"].model)
    assert runs.identical(*same)  # the first generation learns from labels alone
    assert not runs.identical(runs.weights(student.model), runs.weights(control.model))


def test_the_last_generation_and_their_ensemble_are_results(finished: Path) -> None:
    verdict = Verdict.load(finished)
    assert list(verdict.results) == ["student", "generations"]
    text = runs.report_text(finished)
    for name, folder in (("student", "student"), ("generations", "results/generations/student")):
        result = verdict.results[name]
        assert result.gain is not None
        assert runs.accuracy(models.load_model(finished / folder)) == pytest.approx(result.distilled.metric)
        assert f"{name} {100 * result.distilled.metric:.2f} %" in text
    found = evaluate_run(finished, "digits", split="test").as_json()["results"]
    assert found["generations"]["accuracy"] == pytest.approx(verdict.results["generations"].distilled.metric)


def test_twelve_lines() -> None:
    assert runs.count_lines(runs.RECIPES / "born_again.yaml") <= runs.LINES
    assert runs.count_parts(born_again) <= runs.LINES
