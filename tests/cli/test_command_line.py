"""The whole command line: help without torch."""

from __future__ import annotations

import resource
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from tests import ranks
from tests.cli.conftest import Limbeck


def test_help_answers_at_once_and_without_torch() -> None:
    heavy = "('torch', 'numpy', 'pydantic', 'accelerate', 'yaml')"
    script = (
        "import sys; from limbeck import cli; sys.argv = ['limbeck', '--help']\n"
        "try: cli.main()\n"
        f"except SystemExit as stop: print('CODE', stop.code, 'HEAVY', [name for name in {heavy} if name in sys.modules])"
    )
    began = _seconds_of_children()
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=ranks.ENVIRONMENT, check=True)
    seconds = _seconds_of_children() - began
    assert "CODE 0 HEAVY []" in done.stdout
    for command in ("distill", "evaluate", "compare", "recipes", "schema", "methods"):
        assert command in done.stdout
    assert seconds < 2  # importing torch alone takes more


def _seconds_of_children() -> float:
    """Processor time of ended child processes, whatever else the machine does."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_the_home_folder_is_found_where_shells_leave_it(
    limbeck: Limbeck, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert f"{tmp_path}/no.yaml: there is no such file" in limbeck("distill", "~/no.yaml")[2]
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").touch()
    done = limbeck("distill", "digits", "--out=~/run", "--set=description=a=~b")
    assert f"{tmp_path}/run holds files that are no run" in done[2]


def test_the_package_is_a_command_too(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["limbeck", "--help"])
    with pytest.raises(SystemExit) as stopped:
        runpy.run_module("limbeck", run_name="__main__")
    assert not stopped.value.code
    assert "distill" in capsys.readouterr().out
