"""Rows that are kept by the values of their columns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from limbeck.data import load_fields, load_items
from limbeck.recipe import Recipe, RecipeError
from limbeck.recipe.schema.data import DatasetSpec
from tests.data.loading.files import PIXELS, cell, parquet, targets


@pytest.fixture
def drawn(tmp_path: Path) -> Path:
    """Six pictures in two styles, of three years."""
    cells = {"image": [cell(each) for each in PIXELS], "label": [0, 1, 2, 0, 1, 2], "style": ["a", "b"] * 3}
    return parquet(tmp_path / "drawn.parquet", **cells, year=[2020, 2020, 2021, 2021, 2022, None])


@pytest.mark.parametrize(
    ("where", "kept"),
    [
        ({"style": "a"}, [0, 2, 1]),
        ({"style": ["a", "b"]}, [0, 1, 2, 0, 1, 2]),
        ({"style": "b", "year": 2020}, [1]),
        ({"year": [2021, 2022]}, [2, 0, 1]),
    ],
)
def test_rows_are_kept_by_value(drawn: Path, where: dict[str, Any], kept: list[int]) -> None:
    assert targets(load_items(drawn, where=where, input="image")) == kept
    assert targets(load_fields(drawn, ["image"], {}, where=where)) == kept
    spec = DatasetSpec.model_validate({"path": str(drawn), "where": where, "input": "image"})
    assert targets(spec.load()) == kept


def test_what_is_not_there_is_named(drawn: Path) -> None:
    with pytest.raises(ValueError, match=r"where: .*drawn.parquet has no column 'styl'; nearest: style"):
        load_items(drawn, where={"styl": "a"})
    with pytest.raises(ValueError, match=r"has no row left with style = 'c'; it has 'a', 'b'"):
        load_items(drawn, where={"style": "c"})
    with pytest.raises(ValueError, match=r"column 'year' is int64, and 'old' is not"):
        load_items(drawn, where={"year": "old"})
    with pytest.raises(ValueError, match=r"digits has no columns; leave it out"):
        load_items("digits", where={"style": "a"})


def test_messages_count_the_rows_that_are_left(drawn: Path, tmp_path: Path) -> None:
    cells = {"image": [cell(PIXELS[0]), None, cell(PIXELS[1])], "style": ["a", "b", "b"]}
    path = parquet(tmp_path / "gaps.parquet", **cells)
    with pytest.raises(ValueError, match=r"gaps.parquet \(style = b\): row 0 has no 'image'"):
        load_fields(path, ["image"], {}, where={"style": "b"})


def test_a_recipe_says_of_each_data_set_which_rows_it_has(drawn: Path) -> None:
    data = {"train": {"path": str(drawn), "where": {"style": "a"}, "input": "image"}}
    content = {
        "name": "styles",
        "data": data | {"test": {"path": str(drawn), "where": {"style": "b"}, "input": "image"}},
        "student": {"model": "tiny_cnn", "args": {"width": 2, "size": 8}},
        "terms": ["hard_targets"],
        "control": False,
        "training": {"steps": 1},
    }
    items = Recipe.from_dict(content).load()
    assert (targets(items.train), targets(items.test)) == ([0, 2, 1], [1, 0, 2])
    data["train"]["where"] = {}
    with pytest.raises(RecipeError, match=r"data.train.where"):
        Recipe.from_dict(content)
