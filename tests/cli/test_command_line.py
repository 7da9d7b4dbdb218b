"""The whole command line: help without torch."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
import time

import pytest

from tests import ranks


def test_help_answers_at_once_and_without_torch() -> None:
    heavy = "('torch', 'numpy', 'pydantic', 'accelerate', 'yaml')"
    script = (
        "import sys; from limbeck import cli; sys.argv = ['limbeck', '--help']\n"
        "try: cli.main()\n"
        f"except SystemExit as stop: print('CODE', stop.code, 'HEAVY', [name for name in {heavy} if name in sys.modules])"
    )
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=ranks.ENVIRONMENT, check=True)
    seconds = time.perf_counter() - began
    assert "CODE 0 HEAVY []" in done.stdout
    for command in ("distill", "evaluate", "compare", "recipes", "schema", "methods"):
        assert command in done.stdout
    assert seconds < 1 * (1 + os.getloadavg()[0] / (os.cpu_count() or 1))  # on a machine that does nothing else: 1 s


def test_the_package_is_a_command_too(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["limbeck", "--help"])
    with pytest.raises(SystemExit) as stopped:
        runpy.run_module("limbeck", run_name="__main__")
    assert not stopped.value.code
    assert "distill" in capsys.readouterr().out
