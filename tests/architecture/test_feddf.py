"""FedDF's server step: the clients' ensemble teaches the server's model on inputs without labels."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from limbeck import Distillation, Ensemble, Stage, Term, Update, models, steps
from limbeck.evaluation import Verdict
from limbeck.objectives import SoftTargets
from limbeck.runs import evaluate_run
from tests.architecture import runs
from tests.architecture.runs import Forwards

NAMES = ("clients.a", "clients.b")


@pytest.fixture(scope="module")
def clients() -> dict[str, nn.Module]:
    """Two clients, each trained on the digits of its own half of the classes, and so of no use for the other half."""
    images, labels = runs.digits("train")
    found = {}
    for name, own in zip(NAMES, (labels < 5, labels >= 5), strict=True):
        torch.manual_seed(0)
        found[name] = runs.learn(models.get("tiny_cnn", width=4, size=8), images[own], labels[own])
    return found


@pytest.fixture(scope="module")
def finished(clients: dict[str, nn.Module], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of the recipe, with the clients' weights in files."""
    folder = tmp_path_factory.mktemp("feddf")
    for name, client in clients.items():
        models.save_weights(client, folder / f"{name.removeprefix('clients.')}.safetensors")
    return runs.carry_out("feddf", folder / "run", CLIENTS=str(folder))


def server() -> nn.Module:
    return models.get("tiny_cnn", width=8, size=8)


def feddf(clients: dict[str, nn.Module]) -> Distillation:
    term = Term(SoftTargets(temperature=1), student="server", teacher=Ensemble("clients.*"))
    return Distillation(
        actors={**clients, "server": server},
        stages=[Stage([Update([term], trains="server")], steps(12))],
        evaluate={"server": "server", "teacher": Ensemble("clients.*")},
        training=runs.training("feddf"),
        control=False,
    )


def test_each_client_runs_once_a_step_and_stays_as_it_is(clients: dict[str, nn.Module], finished: Path) -> None:
    forwards, before = Forwards(), {name: runs.weights(client) for name, client in clients.items()}
    job = feddf({name: forwards.watch(name, client) for name, client in clients.items()})
    items = runs.load("feddf", CLIENTS=str(finished.parent)).train
    assert items is not None
    assert items.target is None
    best = job.fit(items)
    assert all(runs.identical(before[name], runs.weights(client)) for name, client in clients.items())
    assert not any(with_gradient for _, with_gradient in forwards)
    assert job.cost.teacher_items == 2 * 12 * 32
    assert runs.identical(runs.weights(best), runs.saved(finished / "student"))


def test_the_verdict_compares_the_server_with_the_ensemble(
    clients: dict[str, nn.Module], finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, labels = runs.digits("test")
    with torch.no_grad():
        mean = torch.stack([client(images) for client in clients.values()]).mean(0)
    verdict = Verdict.load(finished)
    assert list(verdict.results) == ["server"]
    assert verdict.control is None
    assert verdict.teacher is not None
    assert verdict.teacher.metric == pytest.approx(float((mean.argmax(-1) == labels).float().mean()), abs=1e-6)
    assert max(map(runs.accuracy, clients.values())) < verdict.teacher.metric
    assert verdict.retention == pytest.approx(verdict.student.metric / verdict.teacher.metric)
    assert verdict.student.metric == pytest.approx(runs.accuracy(models.load_model(finished / "student")))
    monkeypatch.setenv("CLIENTS", str(finished.parent))
    found = evaluate_run(finished, "digits", split="test").as_json()
    assert found["accuracy"] == pytest.approx(verdict.student.metric)
    assert found["retention"] == pytest.approx(verdict.retention)
    assert "Kept" in runs.report_text(finished)


def test_twelve_lines() -> None:
    assert runs.count_lines(runs.RECIPES / "feddf.yaml") <= runs.LINES
    assert runs.count_parts(feddf) <= runs.LINES
