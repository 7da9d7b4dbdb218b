"""A run remembers its plugins: later commands load them if they are as they were."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from limbeck.models import registry
from limbeck.recipe import Recipe, RecipeError, load_plugin, loaded_plugins
from limbeck.runs import evaluate_run, run_recipe
from limbeck.runs.plugins import FILE
from limbeck.utils import child_processes
from tests import own, tiny


@pytest.fixture(autouse=True)
def _as_in_a_new_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(registry, "_parts", dict(registry._parts))
    monkeypatch.setattr(child_processes, "_first", {})
    known = list(loaded_plugins)
    loaded_plugins.clear()
    yield
    loaded_plugins[:] = known


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a new process does not know."""
    loaded_plugins.clear()
    monkeypatch.setattr(registry, "_parts", {name: part for name, part in registry._parts.items() if ":" not in name})


@pytest.fixture
def run(tmp_path: Path) -> Path:
    load_plugin(own.models(tmp_path))
    fields = tiny.content("control=false", "teacher.model=my_models.py:Teacher", "teacher.args={width: 6}")
    fields["student"] = {"model": "my_models.py:make_student"}
    run_recipe(Recipe.from_dict(fields), tmp_path / "run", progress=False)
    return tmp_path / "run"


def test_the_plugin_is_loaded_again_and_named(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    forget(monkeypatch)
    assert evaluate_run(run, "digits", split="test").verdict.items == 599
    said = capsys.readouterr().err
    assert said.count("plugin of the run: ") == 1
    assert "my_models.py" in said


def test_a_changed_or_missing_plugin_is_named_and_not_run(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = Path(json.loads((run / FILE).read_text())[0]["path"])
    content = file.read_text()
    file.write_text(content + "\nraise SystemExit('it ran')\n")
    forget(monkeypatch)
    with pytest.raises(RecipeError, match=rf"its plugin {file} has changed since; to use it as it is now: --plugin {file}"):
        evaluate_run(run, "digits", split="test")
    file.unlink()
    with pytest.raises(RecipeError, match="is gone; name the file where it is now"):
        evaluate_run(run, "digits", split="test")
    file.write_text(content)
    load_plugin(file)  # named by hand: the run's own is not asked for
    assert evaluate_run(run, "digits", split="test").verdict.items == 599


def test_child_processes_know_the_plugin(tmp_path: Path) -> None:
    plain = child_processes.python_command("json.tool", "--help")
    assert plain == [sys.executable, "-m", "json.tool", "--help"]
    load_plugin(own.models(tmp_path))
    (tmp_path / "shown.py").write_text(
        "import sys\nfrom limbeck.models import registry\nprint(sys.argv[1:], [n for n in registry if ':' in n])\n"
    )
    command = child_processes.python_command("shown", "a", "b c")
    shown = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert shown.stdout.strip() == "['a', 'b c'] ['my_models.py:Teacher', 'my_models.py:make_student']"


@pytest.mark.parametrize("content", ["", "3", "[3]", '[{"path": "x"}]'])
def test_a_damaged_list_is_named(run: Path, monkeypatch: pytest.MonkeyPatch, content: str) -> None:
    (run / FILE).write_text(content)
    forget(monkeypatch)
    with pytest.raises(RecipeError, match=r"plugins\.json is damaged; name the plugins"):
        evaluate_run(run, "digits", split="test")
