"""What a run says: no line twice, no number that is none, a bar that fits the terminal."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
import torch
from rich.console import Console

from limbeck.engine.checks import NonFiniteError
from limbeck.engine.metrics_log import LogFile
from limbeck.engine.settings import Settings
from limbeck.engine.stage_progress import StageProgressBar
from limbeck.engine.term_averages import FiniteCheck, TermAverages


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_rewinding_drops_own_later_lines_only(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    ours, theirs = LogFile(path, {"seed": 0, "arm": "student"}), LogFile(path, {"seed": 0, "arm": "control"})
    for update in (5, 10, 15):
        ours.write(update=update)
        theirs.write(update=update)
    ours.rewind(10)
    assert [(line["arm"], line["update"]) for line in lines(path)] == [
        ("student", 5), ("control", 5), ("student", 10), ("control", 10), ("control", 15),
    ]  # fmt: skip


def test_rewinding_drops_what_a_killed_process_half_wrote(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    log = LogFile(path, {})
    log.write(update=5)
    for torn in (b'{"update": 7, "val', b"\xe2\x82"):  # the second ends within a character
        with path.open("ab") as file:
            file.write(torn)
        log.rewind(10)
        log.write(update=6)
        assert lines(path)[-1] == {"update": 6}
    assert [line["update"] for line in lines(path)] == [5, 6, 6]
    assert list(tmp_path.iterdir()) == [path]


def test_means_over_an_interval() -> None:
    averages = TermAverages()
    for value in (1.0, 2.0, 6.0):
        averages.add({"loss": torch.tensor(value)})
    averages.add({"rare": torch.tensor(4.0)})
    assert averages.means() == {"loss": 3.0, "rare": 4.0}
    assert averages.means() == {}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_value_that_is_no_number_stops_the_run(value: float) -> None:
    finite = FiniteCheck()
    finite.add({"soft_targets": torch.tensor(1.0)}, update=6)
    with pytest.raises(NonFiniteError, match=r"term 'soft_targets' became NaN or infinite at step 7.*checkpoint.*smaller"):
        finite.add({"soft_targets": torch.tensor(value)}, update=7)
    with pytest.raises(NonFiniteError, match="the loss became"):
        finite.add({"loss": torch.tensor(value)}, update=7)


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
