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


@pytest.mark.parametrize("name", ["-x", ".x", "a b", "a/b", ""])
def test_names_that_no_folder_or_flag_is_called(name: str) -> None:
    with pytest.raises(RecipeError, match=r"name: use letters, digits, '_', '\+', '-' and '.' only, with a letter"):
        Recipe.from_dict({**tiny.content(), "name": name})
    assert Recipe.from_dict({**tiny.content(), "name": "é+1.x-y"}).name == "é+1.x-y"


def test_files_are_looked_for_before_anything_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "train.parquet").touch()
    with pytest.raises(RecipeError, match=r"data.test: there is no file .*test.parquet; nearest: train.parquet"):
        tiny.recipe(f"data.test={tmp_path}/test.parquet")
    with pytest.raises(RecipeError, match=r"teacher.weights: there is no file .*; nearest: train.parquet"):
        tiny.recipe(f"teacher.weights={tmp_path}/w.safetensors")
    with pytest.raises(RecipeError, match=r"recipe: actors.peer.a.weights: there is no file"):
        tiny.recipe(f"actors={{peer.a: {{model: tiny_cnn, weights: {tmp_path}/w.safetensors}}}}")
    with pytest.raises(RecipeError, match=r"data.train: there is no folder"):
        tiny.recipe("data.train=./no/such/folder")


@pytest.mark.parametrize("pattern", ["a-{00..01}.tar", "a-*.tar", "a-0[01].tar"])
def test_patterns_of_shards_are_files_that_exist(tmp_path: Path, pattern: str) -> None:
    for number in range(2):
        (tmp_path / f"a-{number:02}.tar").touch()
    assert tiny.recipe(f"data.train={tmp_path}/{pattern}").data.train.path.endswith(pattern)
    with pytest.raises(RecipeError, match=r"data.test: no such shard: .*b"):
        tiny.recipe(f"data.test={tmp_path}/{pattern.replace('a-', 'b-')}")
    with pytest.raises(RecipeError, match=r"data.test: no such shard: .*a-02.tar"):
        tiny.recipe(f"data.test={tmp_path}/a-{{00..02}}.tar")
