"""The section on inputs that were made without data."""

from __future__ import annotations

from pathlib import Path

import torch

from limbeck.evaluation.made_inputs import choose_made_inputs
from limbeck.evaluation.report import write_report
from limbeck.evaluation.report.made_inputs import made_inputs
from tests.evaluation.report import made
from tests.evaluation.report.html import check

REAL = torch.rand(9, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def test_made_images_stand_beside_the_nearest_training_images(tmp_path: Path) -> None:
    found = choose_made_inputs((REAL[:4] + 0.001).clamp(max=1), 9 * torch.eye(4), REAL)
    verdict = made.exits().model_copy(update={"made_inputs": found})
    page = write_report(made.write(tmp_path / "run", verdict)).read_text()
    text = check(page).text
    assert "Inputs that were made without data" in text
    assert text.count("nearer than usual") == 4
    assert page.count("The nearest training image") == 4


def test_without_training_images_the_made_ones_stand_alone(tmp_path: Path) -> None:
    verdict = made.exits().model_copy(update={"made_inputs": choose_made_inputs(REAL[:4], torch.eye(4))})
    text = check(write_report(made.write(tmp_path / "run", verdict)).read_text()).text
    assert "Some of each class" in text
    assert "training image" not in text


def test_a_run_on_data_has_no_such_section() -> None:
    assert made_inputs(made.exits()) is None
