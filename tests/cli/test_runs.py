"""`limbeck runs`."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Limbeck


def test_runs_are_listed(limbeck: Limbeck, finished: Path, tmp_path: Path) -> None:
    code, out, _ = limbeck("runs", finished.parent)
    assert code == 0
    assert "finished" in out
    assert "steps" in out
    (run,) = json.loads(limbeck("runs", finished.parent, "--json")[1])
    assert (run["name"], run["kind"], run["state"]) == ("finished", "run", "finished")
    code, out, _ = limbeck("runs", tmp_path)
    assert (code, out.replace("\n", "")) == (0, f"no runs in {tmp_path}")
    code, _, err = limbeck("runs", tmp_path / "nowhere")
    assert code == 2
    assert "there is no folder" in err
