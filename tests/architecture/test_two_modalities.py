"""Supervision transfer across modalities: a teacher that sees teaches a student that hears, on pairs without labels.

Source: Gupta et al. 2016, Cross modal distillation for supervision transfer (arXiv:1507.00448).
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torch import nn

from limbeck import Distillation, Term, frozen, models, trained
from limbeck.evaluation import Verdict
from limbeck.objectives import Hint, SoftTargets
from limbeck.runs import evaluate_run
from tests.architecture import runs
from tests.architecture.runs import Forwards
from tests.data.audio.sounds import tone, wav
from tests.data.loading.files import parquet


def write_pairs(path: Path, first: int, *fields: str) -> Path:
    """48 low tones with dark images and high tones with bright ones."""
    rows = range(first, first + 48)
    cells: dict[str, list[Any]] = {
        "wave": [{"bytes": wav(tone(300 + 5 * (row % 48) + 1500 * (row % 2))), "path": None} for row in rows],
        "image": [{"bytes": png(20 + row % 48 + 120 * (row % 2) + row // 48), "path": None} for row in rows],
        "label": [row % 2 for row in rows],
    }
    return parquet(path, **{name: cells[name] for name in fields or cells})


def png(value: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((16, 16), value, np.uint8)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    write_pairs(folder / "train.parquet", 0)
    write_pairs(folder / "test.parquet", 48)
    return folder


@pytest.fixture(scope="module")
def finished(pairs: Path) -> Path:
    return runs.carry_out("two_modalities", pairs / "run", PAIRS=str(pairs))


def transfer(teacher: nn.Module, student: object) -> Distillation:
    return Distillation(
        actors={"teacher": frozen(teacher, reads="image"), "student": trained(student, reads="wave")},
        terms=[Term(Hint(), student="layer3", teacher="layer3"), Term(SoftTargets(temperature=2))],
        training=runs.training("two_modalities"),
    )


def test_each_model_reads_its_own_field_and_the_teacher_stays_as_it_is(pairs: Path, finished: Path) -> None:
    teacher, forwards = models.load_model(finished / "teacher"), Forwards()
    before = runs.weights(teacher)
    job = transfer(teacher, lambda: forwards.watch("student", models.get("tiny_cnn", width=4, size=16, classes=2)))
    best = job.fit(runs.load("two_modalities", PAIRS=str(pairs)).train)
    assert runs.identical(before, runs.weights(teacher))
    assert forwards["student", True] == 24 + 24  # and its control
    assert job.cost.teacher_items == 24 * 16
    assert runs.identical(runs.weights(best), runs.saved(finished / "student"))
    assert runs.identical(runs.weights(job.arms["control"][0]), runs.saved(finished / "control"))


def test_the_control_learns_from_the_few_labels(pairs: Path) -> None:
    items = runs.load("two_modalities", PAIRS=str(pairs))
    assert items.train is not None
    assert len(items.train) == 48
    assert len(items.train.labelled()) == 8


def test_the_verdict_and_new_sounds_without_images(pairs: Path, finished: Path, tmp_path: Path) -> None:
    verdict = Verdict.load(finished)
    assert list(verdict.results) == ["student"]
    assert verdict.teacher is not None
    assert verdict.teacher.metric > 0.9
    assert verdict.control is not None
    assert verdict.gain is not None
    assert "Teacher, control and student" in runs.report_text(finished)
    both = evaluate_run(finished, str(pairs / "test.parquet")).as_json()["arms"]
    assert {name: arm["accuracy"] for name, arm in both.items()} == pytest.approx(
        {name: arm.metric for name, arm in verdict.arms.items()}
    )
    heard = write_pairs(tmp_path / "new.parquet", 48, "wave", "label")
    figures = evaluate_run(finished, str(heard)).as_json()
    assert figures["accuracy"] == pytest.approx(verdict.student.metric)
    assert list(figures["arms"]) == ["control", "student"]


def test_twelve_lines() -> None:
    assert runs.count_lines(runs.RECIPES / "two_modalities.yaml") <= runs.LINES
    assert runs.count_parts(transfer) <= runs.LINES
