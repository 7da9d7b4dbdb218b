"""The parts of a script that are named on its command line are run, or all."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.paradigms.parts import run_parts, run_recipe_parts


@pytest.mark.parametrize(("given", "ran"), [([], ["a", "b"]), (["b"], ["b"])])
def test_parts(monkeypatch: pytest.MonkeyPatch, given: list[str], ran: list[str]) -> None:
    done: list[object] = []
    monkeypatch.setattr("sys.argv", ["script", *given])
    run_parts(None, {name: lambda name=name: done.append(name) for name in "ab"})
    assert done == ran
    monkeypatch.setattr("sys.argv", ["script", *given, "--run", "runs/x"])
    run_recipe_parts(None, {name: lambda run, name=name: done.append((name, run)) for name in "ab"})
    assert done[len(ran) :] == [(name, Path("runs/x")) for name in ran]


def test_an_unknown_part_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["script", "c"])
    with pytest.raises(SystemExit):
        run_parts(None, {"a": lambda: None})
    assert "invalid choice: 'c'" in capsys.readouterr().err
