"""The progress bar of a stage."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from limbeck.engine.settings import Settings
from limbeck.engine.stage_progress import StageProgressBar


@pytest.mark.parametrize("width", [80, 160])
def test_the_bar_keeps_its_title_and_counts(width: int) -> None:
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=True, color_system=None)
    with StageProgressBar(Settings(labels={"arm": "2 student"}), "", 10_800, 0, console) as bar:
        bar.advance_to(10_799)
        bar.show({"attention_transfer": 0.00217, "hard_targets": 0.1, "loss": 0.1911}, 12_345.6)
    shown = out.getvalue()
    for part in ("2 student", "10799/10800", "12,346 items/s", "loss 0.191"):
        assert part in shown
    assert ("hard_targets 0.1" in shown) == (width == 160)  # what does not fit is cut off, at the end
    assert max(len(line) for line in shown.replace("\r", "\n").splitlines()) <= width + 20  # and control codes


def test_the_title_names_arm_seed_and_stage() -> None:
    out = io.StringIO()
    settings = Settings(labels={"seed": 3, "arm": "student"})
    with StageProgressBar(settings, "layers", 10, 0, Console(file=out, width=160, force_terminal=True, color_system=None)):
        pass
    assert "student · seed 3 · layers" in out.getvalue()
