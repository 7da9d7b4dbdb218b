"""A run of two processes whose weights are in shards: trained, exported and evaluated."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from limbeck import runs
from limbeck.evaluation import Verdict
from tests import ranks


def test_a_sharded_run_is_exported_and_each_process_evaluates_its_share(tmp_path: Path) -> None:
    run = tmp_path / "run"
    ranks.run(2, "tests.runs.ranks_script", run)
    _, export = Verdict.load(run).exports  # after the student as it is
    assert export.path is not None
    assert (run / export.path).exists()
    alone = runs.evaluate_run(run, "digits", split="test").as_json()
    for rank in (0, 1):
        found = json.loads((run / f"evaluated-{rank}.json").read_text())
        assert found["seen"] == [(alone["items"] + 1) // 2] * 3  # teacher and student of the run, and the file
        assert list(found["run"]["arms"]) == ["teacher", "student"]
        for arm, figures in found["run"]["arms"].items():
            assert figures["accuracy"] == alone["arms"][arm]["accuracy"]
            assert figures["ece"] == pytest.approx(alone["arms"][arm]["ece"], abs=1e-5)
        assert found["file"]["accuracy"] == pytest.approx(export.metric) == alone["accuracy"]
