"""Log file and trackers: every line once, also after a run was killed and resumed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from limbeck.engine.metrics_log import LogFile
from tests.engine.training_runs import quiet, train


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


def test_rewinding_drops_lines_that_are_no_entries(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    log = LogFile(path, {"seed": 0})
    log.write(update=5)
    with path.open("a") as file:
        file.write('3\nnull\n[1]\n{"seed": 0, "update": "7"}\n' + "[" * 100_000 + "\n")
    log.rewind(10)
    assert [line["update"] for line in lines(path)] == [5]


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


def test_accelerate_trackers_get_the_values(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(quiet(log_every=10), count=30, folder=tmp_path)
    (event,) = tmp_path.rglob("events.out.tfevents.*")
    events = EventAccumulator(str(event)).Reload()
    assert [e.step for e in events.Scalars("hard_targets")] == [10, 20, 30]


def test_the_log_holds_each_interval_once(tmp_path: Path) -> None:
    train(quiet(log_every=10, trackers=(), labels={"seed": 3}), count=25, folder=tmp_path)
    entries = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [(e["seed"], e["step"]) for e in entries] == [(3, 10), (3, 20), (3, 25)]
    assert all(e["values"]["loss"] == pytest.approx(e["values"]["hard_targets"]) for e in entries)
