"""The page on the general form: every recipe on it runs to a verdict, for a few steps."""

from __future__ import annotations

import json
import re

import pytest
import torch
from typer.testing import CliRunner

from limbeck import models
from limbeck.cli.command_line import app
from limbeck.recipe import Recipe, read_yaml
from tests.docs.pages import DOCS, blocks

PAGE = (DOCS / "guide" / "general-form.md").read_text(encoding="utf-8")
WHOLE = {content["name"]: block for block in blocks(PAGE, "yaml") if "name" in (content := read_yaml(block))}
RESULTS = {
    "mutual": ["a", "b", "both"],
    "exits": ["student", "early"],
    "two-heads": ["student", "distilled"],
    "supernet": ["max", "min"],
    "teachers": ["student"],
    "born-again": ["student"],
    "data-free": ["student"],
    "inversion": ["student"],
    "server": ["student"],
}
FILES = {"supernet": "elastic.py", "data-free": "generator.py", "two-heads": "two_heads.py"}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The files that the recipes name; afterwards the registry is as it was."""
    monkeypatch.setattr(models.registry, "_parts", dict(models.registry._parts))
    monkeypatch.setattr(models.registry, "_citations", dict(models.registry._citations))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elastic.py").write_text(next(blocks(PAGE, "python", ".supernet")), encoding="utf-8")
    (tmp_path / "generator.py").write_text(next(blocks(PAGE, "python", ".generator")), encoding="utf-8")
    (tmp_path / "two_heads.py").write_text(next(blocks(PAGE, "python", ".heads")), encoding="utf-8")
    torch.manual_seed(0)
    (tmp_path / "clients").mkdir()
    for file, width in (("teacher", 32), ("clients/a", 8), ("clients/b", 8)):
        models.save_weights(models.get("tiny_cnn", width=width, size=8), tmp_path / f"{file}.safetensors")
    return tmp_path


def test_all_recipes_are_known():
    assert set(WHOLE) == set(RESULTS)


@pytest.mark.parametrize("name", RESULTS)
def test_a_recipe_runs_to_its_verdict(name, folder):
    short = re.sub(r"steps: \d+", "steps: 2", re.sub(r"epochs: \d+", "epochs: 0.1", WHOLE[name]))
    (folder / "recipe.yaml").write_text(short, encoding="utf-8")
    given = ["distill", "recipe.yaml", "--out", "run"]
    done = CliRunner().invoke(app, given + (["--plugin", FILES[name]] if name in FILES else []))
    assert done.exit_code == 0, f"{done.output}\n{done.exception}"
    verdict = json.loads((folder / "run" / "verdict.json").read_text(encoding="utf-8"))
    assert list(verdict["results"]) == RESULTS[name]
    content = read_yaml(short)
    for result in verdict["results"].values():
        assert (result["control"] is None) == (content.get("control") is False)
        assert set(result["gains"]) == set(content.get("controls", {}))
        assert (result["retention"] is None) == (name in ("mutual", "exits", "supernet", "born-again"))


def test_the_further_controls_of_the_page_are_valid():
    (block,) = (block for block in blocks(PAGE, "yaml") if "name" not in read_yaml(block))
    controls = read_yaml(block)["controls"]
    cnn = {"model": "tiny_cnn", "args": {"width": 4}}
    data = {name: {"path": "digits", "split": name} for name in ("train", "test")}
    base = {"name": "base", "data": data, "student": cnn, "actors": {"peers.b": cnn, "generator": cnn}}
    terms = [{"hard_targets": {}}, {"soft_targets": {"teacher": "peers.b"}}]
    sources = {"made": {"generated": {"actor": "generator"}}}
    recipe = Recipe.from_dict({**base, "sources": sources, "terms": terms, "controls": controls}, files=False)
    assert set(recipe.controls) == set(controls)
