"""Recipes changed at random and files damaged at random: an answer in our words, and nothing touched but the run.

`python -m benchmarks.faults recipes files` tries thousands.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import yaml
from hypothesis import HealthCheck, given, settings

from limbeck.recipe import load_plugin
from limbeck.runs import run_recipe
from tests import tiny
from tests.architecture import runs
from tests.commands import ask
from tests.foreign_files import damaged, good_files, hostile_files, in_image_folder, offers, wrong_json
from tests.mutations import mutated, words

NAMES = ("two_peers", "exits", "supernet", "born_again", "ensemble")  # their recipes need digits only
TEXTS = {name: (runs.RECIPES / f"{name}.yaml").read_text() for name in NAMES} | {"tiny": yaml.safe_dump(tiny.TINY)}
CONTENTS = {name: yaml.safe_load(text) for name, text in TEXTS.items()}
LARGE = ("bomb.pt", "bomb.png", "bomb 2.png", "long line.csv", "wide.csv")  # slow to make or to read
OPENED = {".onnx", ".pte", ".zip", ".tar", ".gguf", ".jpg", ".gif", ".webp", ".wav"}  # alike, or of large libraries


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before, place = torch.get_num_threads(), Path.cwd()
    torch.set_num_threads(1)
    load_plugin(runs.HERE / "models.py")
    yield
    torch.set_num_threads(before)
    os.chdir(place)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recipe and a finished run."""
    folder = tmp_path_factory.mktemp("hostile")
    run_recipe(tiny.recipe(), folder / "runs" / "run", progress=False)
    tiny.write(folder)
    (folder / "work").mkdir()
    return folder


def test_a_recipe_as_it_is_reaches_its_training(place: Path) -> None:
    os.chdir(place / "work")
    answer = ask("distill", place / "tiny.yaml")
    assert answer.code is None, answer.text + answer.crash
    assert {path.relative_to(place).parts[:3] for path in answer.touched if path.is_relative_to(place)} <= {
        ("work", "runs"),
        ("work", "runs", "tiny"),
    }


def test_the_watch_sees_crashes_and_files(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object, **__: object) -> None:
        (place / "touched").write_text("")
        raise KeyError("x")

    monkeypatch.setattr("limbeck.runs.run_recipe", crash)
    answer = ask("distill", place / "tiny.yaml")
    assert "KeyError" in answer.crash
    assert place / "touched" in answer.touched


@settings(max_examples=40, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(mutated(CONTENTS, TEXTS, words(CONTENTS)))
def test_mutated_recipes_are_answered(place: Path, case: tuple[str, str]) -> None:
    work = place / "work"
    os.chdir(work)
    (work / "recipe.yaml").write_bytes(case[1].encode("utf-8", "surrogateescape"))
    answer = ask("distill", "recipe.yaml")
    assert not answer.crash, f"{answer.crash}\n{case[1]}"
    outside = [path for path in answer.touched if place in path.parents and work / "runs" not in (path, *path.parents)]
    assert not [path for path in outside if "cache" not in case[1]], case[1]


def small_cases(folder: Path) -> Iterator[tuple[str, bytes]]:
    good = good_files(folder)
    names = [name for name in good if Path(name).suffix not in OPENED]
    for number, name in enumerate(names):
        faults = list(damaged(good[name], good[names[number - 1]]).items())
        yield from ((name, content) for _, content in faults[number % 4 :: 4])  # some of them, not the same for each kind
    yield from ((name, content) for name, content in hostile_files().items() if name not in LARGE)


def test_damaged_and_hostile_files_are_answered(place: Path, tmp_path: Path) -> None:
    by_suffix, wrong = offers(place / "tiny.yaml", place / "runs" / "run"), []
    for number, (name, content) in enumerate(small_cases(tmp_path)):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / name).write_bytes(content)
        path = in_image_folder(folder / "images", name, content) if name.endswith(".png") else folder / name
        command = by_suffix[path.suffix](path)[0]
        os.chdir(folder)
        answer = ask(*command)
        wrong += [f"{name}: {answer.crash.splitlines()[-1]}"] if answer.crash else []
    assert not wrong


@pytest.mark.parametrize("file", ["recipe.yaml", "verdict.json", "log.jsonl"])
def test_damaged_files_of_a_run_are_answered(place: Path, file: str) -> None:
    run = place / "runs" / "run"
    content = (run / file).read_bytes()
    faults = damaged(content, b"- 1")
    if not file.endswith(".jsonl"):
        faults |= {fault: text.encode() for fault, text in list(wrong_json(content.decode()).items())[:6]}
    wrong = []
    for fault, broken in faults.items():
        (run / file).write_bytes(broken)
        for command in (("compare", run), ("runs", run.parent), ("cite", run)):
            answer = ask(*command)
            wrong += [f"{fault}: {command[0]}: {answer.crash.splitlines()[-1]}"] if answer.crash else []
    (run / file).write_bytes(content)
    assert not wrong
