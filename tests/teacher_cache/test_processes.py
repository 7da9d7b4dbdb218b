"""Two processes with one cache: they write the bytes of one, and a later run does not run the teacher."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from limbeck import runs
from limbeck.evaluation import Verdict
from limbeck.teacher_cache import store_info
from tests import ranks, tiny

CHANGES = ("training.views=[{random_crop: {padding: 1}}]", "training.steps=30", "data.train.limit=200", "data.validation=0")


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recipe")
    runs.run_recipe(tiny.recipe(*CHANGES), folder / "run", progress=False)
    weights = folder / "run" / "teacher" / "model.safetensors"
    return tiny.write(folder, *CHANGES, f"teacher.weights={weights}", "teacher.training=null", "control=false")


def limbeck(count: int, *words: object) -> None:
    ranks.run(count, "limbeck.cli", *words)


def content(folder: Path) -> dict[str, bytes]:
    shards = (path for path in sorted(folder.rglob("*.safetensors")) if "segments" in path.parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in shards}


def test_two_processes_build_the_store_of_one(recipe: Path, tmp_path: Path) -> None:
    exact = "cache={views: 3, logits: fp32}"
    for count in (1, 2):
        limbeck(count, "cache", "build", recipe, "--out", tmp_path / str(count), "--set", exact)
    assert store_info(tmp_path / "2" / "logits").complete
    assert content(tmp_path / "1") == content(tmp_path / "2")


def test_two_processes_fill_one_store_during_training(recipe: Path, tmp_path: Path) -> None:
    where = f"cache={{views: 2, logits: fp32, path: {tmp_path / 'kept'}}}"
    limbeck(2, "distill", recipe, "--out", tmp_path / "two", "--set", where)
    found = store_info(tmp_path / "kept" / "logits")
    assert found.complete
    assert found.journal == 0
    limbeck(2, "distill", recipe, "--out", tmp_path / "again", "--set", where)
    first, again = (Verdict.load(tmp_path / name).cost for name in ("two", "again"))
    assert first is not None
    assert again is not None
    assert first.teacher_items > 0
    assert again.teacher_items == 0
    two, one = (load_file(tmp_path / name / "student" / "model.safetensors") for name in ("two", "again"))
    for name in one:
        torch.testing.assert_close(two[name], one[name], rtol=0, atol=1e-4)
