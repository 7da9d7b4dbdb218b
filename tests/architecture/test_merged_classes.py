"""Two teachers that know different digits teach one student that knows all, with few labels."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from limbeck import Distillation, Ensemble, Term, frozen, models
from limbeck.evaluation import Verdict
from limbeck.models import save_weights
from limbeck.objectives import SoftTargets
from limbeck.runs import evaluate_run
from tests.architecture import runs
from tests.architecture.runs import Forwards

LOW, HIGH = [0, 1, 2, 3, 4, 5], [9, 8, 7, 6, 5, 4]  # in the order of the teachers' outputs
STEPS = 48


def teacher(known: list[int]) -> torch.nn.Module:
    """A network that has learned these digits in this order, and has never seen another."""
    images, labels = runs.digits("train")
    rows = torch.isin(labels, torch.tensor(known))
    torch.manual_seed(known[0])
    model = models.get("tiny_cnn", classes=len(known), width=8, size=8)
    return runs.learn(model, images[rows], torch.tensor([known.index(int(label)) for label in labels[rows]]))


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("merged_classes")
    for name, known in (("low", LOW), ("high", HIGH)):
        save_weights(teacher(known), folder / f"{name}.safetensors")
    runs.carry_out("merged_classes", folder / "run", TEACHERS=str(folder))
    return folder


def merged_classes(network: object, low: torch.nn.Module, high: torch.nn.Module) -> Distillation:
    sets = {"low": LOW, "high": HIGH, "student": list(range(10))}
    both = Ensemble("teachers.*", by={"confidence": {"labels": False}}, classes=sets)
    return Distillation(
        network,
        actors={"teachers.low": frozen(low), "teachers.high": frozen(high)},
        terms=[Term(SoftTargets(temperature=2), teacher=both)],
        evaluate={"student": "student", "teacher": both},
        training=runs.training("merged_classes"),
    )


def test_the_student_learns_as_in_the_recipe_and_its_teachers_stay(work: Path) -> None:
    teachers, forwards = {"low": teacher(LOW), "high": teacher(HIGH)}, Forwards()
    before = {name: runs.weights(model) for name, model in teachers.items()}
    watched = [forwards.watch(name, model) for name, model in teachers.items()]
    job = merged_classes(lambda: models.get("tiny_cnn", classes=10, width=8, size=8), *watched)
    train = runs.load("merged_classes", TEACHERS=str(work)).train
    job.check(train)
    checks = forwards["low", False]
    student = job.fit(train)
    assert all(runs.identical(before[name], runs.weights(model)) for name, model in teachers.items())
    assert runs.identical(runs.weights(student), runs.saved(work / "run/student"))
    dry = 1  # when the run builds its criterion
    assert {name: forwards[name, False] - 2 * checks - dry for name in teachers} == dict.fromkeys(teachers, STEPS)
    assert not any(with_gradient for _, with_gradient in forwards)
    assert job.cost.teacher_items == 2 * STEPS * 32


def test_the_student_knows_the_digits_of_both_teachers_better_than_from_labels(work: Path) -> None:
    verdict = Verdict.load(work / "run")
    images, labels = runs.digits("test")
    alone = max(float(torch.isin(labels, torch.tensor(known)).float().mean()) for known in (LOW, HIGH))
    assert verdict.teacher is not None
    assert verdict.teacher.metric > alone  # no teacher alone can be right as often
    assert verdict.retention == pytest.approx(verdict.student.metric / verdict.teacher.metric)
    assert verdict.gain is not None
    assert verdict.gain.ci95[0] > 0
    with torch.no_grad():
        right = models.load_model(work / "run/student")(images).argmax(-1) == labels
    assert float(right.float().mean()) == pytest.approx(verdict.student.metric)
    for only in ([0, 1, 2, 3], [6, 7, 8, 9]):  # known to one teacher
        assert float(right[torch.isin(labels, torch.tensor(only))].float().mean()) > 0.5
    assert "Kept" in runs.report_text(work / "run")


def test_evaluating_the_run_merges_the_teachers_again(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEACHERS", str(work))
    verdict = Verdict.load(work / "run")
    found = evaluate_run(work / "run", "digits", split="test").as_json()
    assert found["accuracy"] == pytest.approx(verdict.student.metric)
    assert found["retention"] == pytest.approx(verdict.retention)


def test_twelve_lines() -> None:
    assert runs.count_lines(runs.RECIPES / "merged_classes.yaml") <= runs.LINES
    assert runs.count_parts(merged_classes) <= runs.LINES
