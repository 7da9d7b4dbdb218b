"""Folders that are no run, or no finished one."""

from __future__ import annotations

from pathlib import Path

import pytest

from limbeck import runs
from limbeck.runs import RunError
from limbeck.runs import folder as folder_module
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


@pytest.mark.parametrize("text", ['{"format": 2, "na', '{"format": 2, "results": {}}', "[]"])
def test_a_damaged_verdict_says_how_to_write_it_anew(tmp_path: Path, text: str) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    tiny.recipe().write(folder / "recipe.yaml")
    (folder / "verdict.json").write_text(text)
    command = rf"Write it anew.*: limbeck distill {folder}/recipe.yaml --out {folder} --resume"
    for read in (folder_module.read_verdict, folder_module.require_verdict, folder_module.results_of):
        with pytest.raises(RunError, match=command):
            read(folder)
    with pytest.raises(RunError, match=command):
        runs.load_verdicts([folder])
    (found,) = runs.list_runs(tmp_path)
    assert found.state == "unreadable"
    assert "--resume" in found.message
    (folder / "recipe.yaml").write_text("[" * 3)
    with pytest.raises(RunError, match=r"recipe.yaml is damaged too"):
        folder_module.read_verdict(folder)


def test_a_verdict_of_a_newer_version_is_not_written_anew(tmp_path: Path) -> None:
    (tmp_path / "verdict.json").write_text('{"format": 3, "results": {}}')
    with pytest.raises(ValueError, match=r"upgrade it$"):
        folder_module.read_verdict(tmp_path)


def test_a_teacher_cache_is_no_run(tmp_path: Path) -> None:
    folder = tmp_path / "outputs"
    (folder / "logits").mkdir(parents=True)
    tiny.recipe().write(folder / "recipe.yaml")
    (folder / "logits" / "manifest.json").write_text("{}")
    assert runs.list_runs(tmp_path) == []
    with pytest.raises(RunError, match=rf"holds cached teacher outputs, not a run; see: limbeck cache info {folder}"):
        runs.load_verdicts([folder])
    (folder / "checkpoints" / "seed-0-student").mkdir(parents=True)  # of a run whose cache is within its folder
    (found,) = runs.list_runs(tmp_path)
    assert found.state == "stopped"
