"""Every page "How to add …": its file is a plugin, its recipe runs to a verdict, its group of entry points exists."""

from __future__ import annotations

import json
import re
import tomllib

import pytest
from typer.testing import CliRunner

from limbeck import methods, models, objectives, tasks
from limbeck.cli.command_line import app
from limbeck.core import source, teachers, weighers
from limbeck.data.fields import modalities
from limbeck.recipe import Recipe, RecipeError, read_yaml
from limbeck.utils.registry import Registry
from tests.docs.pages import DOCS, FENCE, blocks

REGISTRIES: dict[str, Registry] = {
    "method": methods.registry,
    "modality": modalities,
    "objective": objectives.registry,
    "source": source.registry,
    "task": tasks.registry,
    "teacher": teachers.registry,
    "weigher": weighers.registry,
}
ON_DIGITS = ("method", "objective", "source", "teacher", "weigher")  # a task needs other labels: see test_new_task
INDEX = (DOCS / "guide" / "how-to-add.md").read_text(encoding="utf-8")


def page(part: str) -> str:
    return (DOCS / "guide" / f"new-{part}.md").read_text(encoding="utf-8")


def title(text: str, language: str) -> str:
    """The name of the file that the first block of a page with this language shows."""
    found = (one["attributes"] or "" for one in FENCE.finditer(text))
    return next(re.search(r'title="([^"]+)"', one)[1] for one in found if f".{language}" in one and "title=" in one)


@pytest.fixture(autouse=True)
def registries(monkeypatch):
    """Afterwards the registries are as they were."""
    for registry in (*REGISTRIES.values(), models.registry):
        monkeypatch.setattr(registry, "_parts", dict(registry._parts))
        monkeypatch.setattr(registry, "_citations", dict(registry._citations))


@pytest.mark.parametrize("part", ON_DIGITS)
def test_the_file_of_a_page_is_a_plugin_that_runs_to_a_verdict(part, tmp_path, monkeypatch):
    text = page(part)
    file, recipe = title(text, "python"), title(text, "yaml")
    assert f"limbeck distill {recipe} --plugin {file}" in text
    monkeypatch.chdir(tmp_path)
    (tmp_path / file).write_text(next(blocks(text, "python", ".part")), encoding="utf-8")
    short = re.sub(r"epochs: \d+", "epochs: 1", next(blocks(text, "yaml", ".plugin")))
    (tmp_path / recipe).write_text(short, encoding="utf-8")
    given = ["distill", recipe, "--plugin", file, "--out", "run"]
    if part == "method":
        given += ["--set", "method.teacher_assistant.length=1"]
    done = CliRunner().invoke(app, given)
    assert done.exit_code == 0, done.output
    result = json.loads((tmp_path / "run" / "verdict.json").read_text(encoding="utf-8"))["results"]["student"]
    assert 0 < result["distilled"]["metric"] <= 1
    assert result["control"]["metric"] > 0
    assert result["retention"] > 0
    assert (tmp_path / "run" / "report.html").is_file()


def test_a_method_is_cited_and_checks_its_arguments(tmp_path, monkeypatch):
    text = page("method")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "teacher_assistant.py").write_text(next(blocks(text, "python", ".part")), encoding="utf-8")
    (tmp_path / "assistant.yaml").write_text(next(blocks(text, "yaml", ".plugin")), encoding="utf-8")
    cited = CliRunner().invoke(app, ["cite", "assistant.yaml", "--plugin", "teacher_assistant.py"])
    assert "mirzadeh2020improved" in cited.output
    content = read_yaml((tmp_path / "assistant.yaml").read_text(encoding="utf-8"))
    with pytest.raises(RecipeError, match="teacher_assistant has no 'widht'; nearest: width"):
        Recipe.from_dict({**content, "method": {"teacher_assistant": {"widht": 4}}})


@pytest.mark.parametrize("part", REGISTRIES)
def test_every_part_is_listed_with_its_entry_point(part):
    plural = "modalities" if part == "modality" else f"{part}s"
    assert f"`limbeck.{plural}`" in INDEX
    if part == "modality":  # described where fields are
        return
    (example,) = (tomllib.loads(block) for block in blocks(page(part), "toml"))
    (group,) = example["project"]["entry-points"]
    ((name, target),) = example["project"]["entry-points"][group].items()
    assert (group, REGISTRIES[part].kind) == (f"limbeck.{plural}", part)
    file, _, thing = target.partition(":")
    shown = next(blocks(page(part), "python", ".part"))
    assert re.search(rf"^(class|def) {thing}\b", shown, re.M)
    assert f'register("{name}"' in shown
    assert f"{file.rpartition('.')[2]}.py" == title(page(part), "python")
