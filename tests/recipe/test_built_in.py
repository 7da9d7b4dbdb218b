"""The recipes that come with Limbeck."""

from __future__ import annotations

from pathlib import Path

import pytest

from limbeck.recipe import (
    built_in_recipes,
    find_recipe,
    kind_of,
    read_yaml,
)
from limbeck.utils.registry import UnknownNameError
from tests import tiny


def test_the_built_in_recipes_are_right(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    files = built_in_recipes().values()
    assert "digits" in [file.stem for file in files]
    for file in files:
        content = read_yaml(file.read_text())
        recipe = kind_of(content).from_dict(content, file.name, files=False)
        assert recipe.name == file.stem
        assert recipe.description


def test_a_recipe_is_found_by_path_or_by_name(tmp_path: Path) -> None:
    own = tiny.write(tmp_path)
    assert find_recipe(str(own)) == own
    assert find_recipe("digits") == built_in_recipes()["digits"]
    assert find_recipe("gone.yaml") == Path("gone.yaml")  # whoever reads it says that it is not there
    with pytest.raises(UnknownNameError, match="unknown recipe 'digitz'; nearest: digits"):
        find_recipe("digitz")
