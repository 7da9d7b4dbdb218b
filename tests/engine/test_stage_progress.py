"""The progress bar of a stage."""

from __future__ import annotations

import io
import sys
import types

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


def test_in_a_notebook_one_line_is_replaced_and_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []

    class Handle:
        def update(self, content: dict[str, str], *, raw: bool) -> None:
            shown[-1] = content["text/plain"]

    def display(content: dict[str, str], *, raw: bool, display_id: bool) -> Handle:
        shown.append(content["text/plain"])
        return Handle()

    notebook = types.ModuleType("IPython.display")
    notebook.display = display  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython.display", notebook)
    monkeypatch.setattr("limbeck.utils.notebook_line.INTERVAL", 0.0)
    out = io.StringIO()
    console = Console(file=out, width=80, force_jupyter=True)
    for name in ("first", "second"):
        with StageProgressBar(Settings(labels={"arm": "student"}), name, 20, 0, console) as bar:
            for done in range(1, 21):
                bar.advance_to(done)
                bar.show({"loss": 0.5}, 1234.0)
    assert shown == [f"student · {name}  20/20  1,234 items/s  loss 0.5" for name in ("first", "second")]
    assert out.getvalue() == ""
    with StageProgressBar(Settings(progress=False), "none", 20, 0, console) as bar:
        bar.advance_to(20)
    assert len(shown) == 2
