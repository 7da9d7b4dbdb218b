"""Two teachers that know different digits teach one student that knows all, on images without labels."""

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

SETS = {"low": [0, 1, 2, 3, 4, 5], "high": [4, 5, 6, 7, 8, 9]}


def teacher(known: list[int]) -> torch.nn.Module:
    """A network that has learned these digits, numbered from 0, and has never seen another."""
    images, labels = runs.digits("train")
    rows = torch.isin(labels, torch.tensor(known))
    torch.manual_seed(known[0])
    model = models.get("tiny_cnn", classes=len(known), width=8, size=8)
    return runs.learn(model, images[rows], labels[rows] - known[0])


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("merged_classes")
    for name, known in SETS.items():
        save_weights(teacher(known), folder / f"{name}.safetensors")
    runs.carry_out("merged_classes", folder / "run", TEACHERS=str(folder))
    return folder


def merged_classes(network: object, low: torch.nn.Module, high: torch.nn.Module) -> Distillation:
    merged = Ensemble("teachers.*", classes={f"teachers.{name}": known for name, known in SETS.items()})
    return Distillation(
        network,
        actors={"teachers.low": frozen(low), "teachers.high": frozen(high)},
        terms=[Term(SoftTargets(temperature=2), teacher=merged)],
        control=False,
        training=runs.training("merged_classes"),
    )


def test_the_student_learns_as_in_the_recipe_and_its_teachers_stay(work: Path) -> None:
    teachers = [teacher(known) for known in SETS.values()]
    before = [runs.weights(model) for model in teachers]
    job = merged_classes(lambda: models.get("tiny_cnn", classes=10, width=8, size=8), *teachers)
    student = job.fit(runs.load("merged_classes", TEACHERS=str(work)).train)
    assert all(runs.identical(then, runs.weights(now)) for then, now in zip(before, teachers, strict=True))
    assert runs.identical(runs.weights(student), runs.saved(work / "run/student"))


def test_the_student_knows_classes_of_both_teachers(work: Path) -> None:
    verdict = Verdict.load(work / "run")
    assert (verdict.teacher, verdict.control, verdict.retention) == (None, None, None)
    student = models.load_model(work / "run/student")
    images, labels = runs.digits("test")
    with torch.no_grad():
        right = student(images).argmax(-1) == labels
    assert float(right.float().mean()) == pytest.approx(verdict.student.metric)
    for only in ([0, 1, 2, 3], [6, 7, 8, 9]):  # known to one teacher
        assert float(right[torch.isin(labels, torch.tensor(only))].float().mean()) > 0.2
    assert f"reached accuracy {100 * verdict.student.metric:.1f} %" in runs.report_text(work / "run").lower()
    found = evaluate_run(work / "run", "digits", split="test").as_json()
    assert found["accuracy"] == pytest.approx(verdict.student.metric)


def test_twelve_lines() -> None:
    assert runs.count_lines(runs.RECIPES / "merged_classes.yaml") <= runs.LINES
    assert runs.count_parts(merged_classes) <= runs.LINES
