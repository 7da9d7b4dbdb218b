"""Several teachers, each trusted as far as it is right about the item; one of them has hardly been trained."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from limbeck import Distillation, Ensemble, Term, frozen, models
from limbeck.evaluation import Verdict
from limbeck.objectives import SoftTargets
from limbeck.runs import evaluate_run
from limbeck.teacher_cache import CacheConfig
from tests.architecture import runs
from tests.architecture.runs import Forwards

TEACHERS = ["a", "b", "raw"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return runs.carry_out("ensemble", tmp_path_factory.mktemp("ensemble") / "run")


def ensemble(network: object, teachers: dict[str, torch.nn.Module], cache: Path) -> Distillation:
    kept = {name: frozen(model, cache=CacheConfig(cache / name)) for name, model in teachers.items()}
    return Distillation(
        network,
        actors={f"teachers.{name}": teacher for name, teacher in kept.items()},
        terms=[Term(SoftTargets(temperature=2), teacher=Ensemble("teachers.*", by="confidence"))],
        evaluate={"student": "student", "teacher": Ensemble("teachers.*")},
        training=runs.training("ensemble"),
    )


def trained(finished: Path) -> dict[str, torch.nn.Module]:
    return {name: models.load_model(finished / "actors" / f"teachers.{name}") for name in TEACHERS}


def network() -> torch.nn.Module:
    return models.get("tiny_cnn", classes=10, width=4, size=8)


def test_each_teacher_is_trained_once_and_runs_once_for_each_item(finished: Path, tmp_path: Path) -> None:
    teachers, forwards = trained(finished), Forwards()
    before = {name: runs.weights(model) for name, model in teachers.items()}
    assert runs.accuracy(teachers["raw"]) < min(runs.accuracy(teachers["a"]), runs.accuracy(teachers["b"]))
    assert not runs.identical(before["a"], before["b"])
    watched = {name: forwards.watch(name, model) for name, model in teachers.items()}
    train = runs.load("ensemble").train
    first = ensemble(network, watched, tmp_path)
    first.fit(train)
    ran = dict(forwards)
    again = ensemble(network, watched, tmp_path)
    again.fit(train)
    more = {key: count - ran.get(key, 0) for key, count in forwards.items()}
    steps = 16
    assert all(count < steps for count in more.values())  # the checks alone: nothing is computed again
    assert not any(gradient for _, gradient in forwards)
    assert all(runs.identical(before[name], runs.weights(model)) for name, model in teachers.items())
    assert runs.identical(runs.weights(first.best), runs.weights(again.best))
    assert set(first.cache_folders) == {f"teachers.{name}" for name in TEACHERS}


def test_the_untrained_teacher_gets_the_least_weight(finished: Path) -> None:
    weights: dict[str, float] = {}
    for line in (finished / "log.jsonl").read_text().splitlines():
        for name, found in json.loads(line).get("weights", {}).items():
            weights[name.rpartition("teachers.")[2]] = found["mean"] if isinstance(found, dict) else found
    assert set(weights) == set(TEACHERS)
    assert weights["raw"] == min(weights.values())
    assert sum(weights.values()) == pytest.approx(1, abs=1e-3)


def test_the_verdict_compares_with_the_ensemble(finished: Path) -> None:
    verdict = Verdict.load(finished)
    assert list(verdict.results) == ["student"]
    assert verdict.teacher is not None
    assert verdict.retention == pytest.approx(verdict.student.metric / verdict.teacher.metric)
    assert verdict.gain is not None
    images, labels = runs.digits("test")
    with torch.no_grad():
        mean = torch.stack([model(images) for model in trained(finished).values()]).mean(0)
    assert float((mean.argmax(-1) == labels).float().mean()) == pytest.approx(verdict.teacher.metric)
    assert runs.accuracy(models.load_model(finished / "student")) == pytest.approx(verdict.student.metric)
    assert "teachers.raw" in runs.report_text(finished)
    found = evaluate_run(finished, "digits", split="test").as_json()
    assert found["accuracy"] == pytest.approx(verdict.student.metric)
    assert found["arms"]["teacher"]["accuracy"] == pytest.approx(verdict.teacher.metric)
    assert found["retention"] == pytest.approx(verdict.retention)


def test_twelve_lines() -> None:
    assert runs.count_lines(runs.RECIPES / "ensemble.yaml") <= runs.LINES
    assert runs.count_parts(ensemble) <= runs.LINES
