"""Environment variables, packages and files that are not there."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from limbeck.recipe import RecipeError, expand_variables
from limbeck.recipe.paths import describe_missing


def test_the_environment_and_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLACE", "/data")
    monkeypatch.setenv("HOME", "/home/me")
    assert expand_variables("${PLACE}/a.parquet", "data.train") == "/data/a.parquet"
    assert expand_variables("~/a.parquet", "data.train") == "/home/me/a.parquet"
    assert expand_variables("$PLACE/a.parquet", "data.train") == "/data/a.parquet"
    assert expand_variables("a/$PLACE/US$", "data.train") == "a/$PLACE/US$"
    with pytest.raises(RecipeError, match=r"cache.path: '\$PLAC/c' needs the environment variable PLAC, which is not set"):
        expand_variables("$PLAC/c", "cache.path")


def test_a_package_brings_a_model() -> None:

    assert Path(expand_variables("${package:torch}/nn", "teacher.args")) == Path(torch.__file__).parent / "nn"
    with pytest.raises(RecipeError, match=r"teacher\.args: .*no_such_model.*pip install no-such-model"):
        expand_variables("${package:no_such_model}/model", "teacher.args")


def test_a_missing_file_is_named_with_its_neighbours(tmp_path: Path) -> None:
    assert describe_missing(tmp_path / "no" / "x") == f"there is no folder {tmp_path / 'no'}"
    assert describe_missing(tmp_path / "x") == f"there is no file {tmp_path / 'x'}; the folder is empty"
    (tmp_path / "train.parquet").touch()
    assert describe_missing(tmp_path / "tran.parquet").endswith("tran.parquet; nearest: train.parquet")
