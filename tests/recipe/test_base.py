"""Recipe files: read, and checked before anything is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from limbeck.recipe import Recipe, RecipeError
from tests import tiny


@pytest.mark.parametrize(
    ("text", "said"),
    [("a: [", "is no YAML"), ("- a\n- b", "holds list; expected fields"), ("name: a\nname: b", "'name' is given twice")],
)
def test_a_file_that_is_no_recipe(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError, match=said):
        Recipe.read(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecipeError, match="is no YAML"):
        Recipe.read(path)
    with pytest.raises(RecipeError, match=r"rr.yaml: there is no such file; nearest: r.yaml"):
        Recipe.read(tmp_path / "rr.yaml")
    with pytest.raises(RecipeError, match="is a folder"):
        Recipe.read(tmp_path)


def test_files_are_looked_for_before_anything_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "train.parquet").touch()
    with pytest.raises(RecipeError, match=r"data.test: there is no file .*test.parquet; nearest: train.parquet"):
        tiny.recipe(f"data.test={tmp_path}/test.parquet")
    with pytest.raises(RecipeError, match=r"teacher.weights: there is no file .*; nearest: train.parquet"):
        tiny.recipe(f"teacher.weights={tmp_path}/w.safetensors")
    with pytest.raises(RecipeError, match=r"data.train: there is no folder"):
        tiny.recipe("data.train=./no/such/folder")
