"""A user's own file: its models can be named once it is given by hand, through a whole run and afterwards."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from limbeck import models
from limbeck.models import registry
from limbeck.recipe import Recipe, RecipeError, load_plugin
from limbeck.runs import evaluate_run, open_run, run_recipe
from tests import own, tiny


@pytest.fixture(autouse=True)
def _registry_kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    own_files = ":"  # in the names of what other tests may have loaded
    monkeypatch.setattr(registry, "_parts", {name: part for name, part in registry._parts.items() if own_files not in name})
    monkeypatch.setattr(sys, "path", list(sys.path))
    return


def test_functions_and_classes_of_the_file_are_models(tmp_path: Path) -> None:
    load_plugin(own.models(tmp_path))
    assert {name for name in registry if ":" in name} == {"my_models.py:Teacher", "my_models.py:make_student"}
    student = models.get("my_models.py:make_student", num_classes=3)
    assert student.head.out_features == 3  # type: ignore[union-attr]
    assert models.spec_of(student) == {"model": "my_models.py:make_student", "args": {"num_classes": 3}}


def test_a_run_with_own_models_is_opened_again_only_with_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = dict(registry._parts)
    file = own.models(tmp_path)
    load_plugin(file)
    fields = tiny.content("control=false", "teacher.model=my_models.py:Teacher", "teacher.args={width: 6}")
    fields["student"] = {"model": "my_models.py:make_student"}
    run_recipe(Recipe.from_dict(fields), tmp_path / "run", progress=False)
    figures = evaluate_run(tmp_path / "run", "digits", split="test").as_json()
    _, student = open_run(tmp_path / "run")
    assert student.head.out_features == 10  # type: ignore[union-attr]  # num_classes came from the data
    monkeypatch.setattr(registry, "_parts", before)  # as in another process
    for reopen in (lambda: open_run(tmp_path / "run"), lambda: models.load_model(tmp_path / "run" / "student")):
        with pytest.raises(ValueError, match=r"my_models\.py:\w+' is defined in a file.*--plugin my_models\.py"):
            reopen()
    load_plugin(file)
    assert evaluate_run(tmp_path / "run", "digits", split="test").as_json() == figures


def test_the_file_may_import_its_neighbours_and_bear_any_name(tmp_path: Path) -> None:
    (tmp_path / "beside_the_plugin.py").write_text("WIDTH = 3\n")
    plugin = tmp_path / "json.py"
    plugin.write_text(
        "from __future__ import annotations\nfrom dataclasses import dataclass\nfrom torch import nn\n"
        "from beside_the_plugin import WIDTH\n\n@dataclass\nclass Sizes:\n    width: int = WIDTH\n\n"
        "def layer(classes=2): return nn.Linear(Sizes().width, classes)\n"
    )
    load_plugin(plugin)
    assert models.get("json.py:layer").in_features == 3
    assert not hasattr(sys.modules["json"], "layer")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\ny = undefined\n", "line 2: NameError: name 'undefined' is not defined"),
        ("x = (\n", "SyntaxError"),
        ("import no_such_module_here\n", "line 1: ModuleNotFoundError"),
    ],
)
def test_a_file_that_fails_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    plugin = tmp_path / "broken.py"
    plugin.write_text(text)
    with pytest.raises(RecipeError, match=r"broken\.py") as error:
        load_plugin(plugin)
    assert message in str(error.value)


def test_a_recipe_never_runs_a_file_that_it_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil.py").write_text("open('was-here', 'w').close()\ndef net(): ...\n")
    with pytest.raises(RecipeError, match="only runs if it is given explicitly"):
        Recipe.from_dict(tiny.content("student.model=evil.py:net", "student.args={}"))
    assert not (tmp_path / "was-here").exists()
