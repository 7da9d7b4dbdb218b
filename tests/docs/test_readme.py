"""The README: its program runs, its links lead somewhere, and its tree is that of the package."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import torch

from limbeck import models
from limbeck.recipe import Recipe, read_yaml
from tests.docs.pages import ROOT, blocks

README = (ROOT / "README.md").read_text(encoding="utf-8")
TEXTS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")


def test_its_program_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (program,) = blocks(README, "python")
    assert len(program.splitlines()) <= 12
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    models.save_model(models.get("tiny_cnn", width=64, size=8), None, tmp_path / "runs" / "digits" / "teacher")
    exec(compile(program.replace("epochs(40)", "epochs(1)"), "README.md", "exec"), {"__name__": "__main__"})
    assert "of the teacher" in capsys.readouterr().out


def test_its_recipe_is_valid() -> None:
    (block,) = blocks(README, "yaml")
    assert list(Recipe.from_dict(read_yaml(block), "README.md").models) == ["peers.a", "peers.b"]


@pytest.mark.parametrize("name", TEXTS)
def test_links_lead_somewhere(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#]+)(?:#[\w-]+)?\)", text):
        assert link.startswith("https://") or (ROOT / link).exists(), f"{name}: {link}"


def test_its_tree_is_that_of_the_package() -> None:
    shown = re.findall(r"^  (\w+)/ ", README, re.M)
    (contract,) = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    assert shown == contract["layers"]
    assert set(shown) == {path.name for path in (ROOT / "limbeck").iterdir() if path.is_dir() and path.name != "__pycache__"}


def test_its_picture_is_small() -> None:
    (picture,) = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", README)
    assert (ROOT / picture).stat().st_size < 300_000


def test_the_places_named_in_contributing_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    places = re.findall(r"`((?:limbeck|tests|benchmarks|docs|recipes)/[\w./-]*)`", text)
    assert len(places) > 25
    assert [place for place in places if not (ROOT / place).exists()] == []
