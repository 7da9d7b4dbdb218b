"""Folders that are no run, or no finished one."""

from __future__ import annotations

from pathlib import Path

import pytest

from limbeck import runs
from limbeck.runs import RunError
from tests import tiny


@pytest.mark.parametrize("what", ["verdict.json", "student/config.json"])
def test_an_unfinished_run_says_how_to_finish_it(tmp_path: Path, what: str) -> None:
    folder = tmp_path / "run"
    with pytest.raises(RunError, match="there is no"):
        runs.load_verdicts([folder])
    folder.mkdir()
    with pytest.raises(RunError, match=r"no recipe.yaml, so it is no run"):
        runs.evaluate_run(folder, "digits")
    tiny.recipe().write(folder / "recipe.yaml")
    with pytest.raises(RunError, match=r"no verdict yet; finish it with: limbeck distill .*recipe.yaml --out .* --resume"):
        runs.load_verdicts([folder])
    with pytest.raises(RunError, match=r"no student yet; finish it with: limbeck distill"):
        runs.evaluate_run(folder, "digits")
