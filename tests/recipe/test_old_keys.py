"""Recipe keys of the previous version are still read, with a warning that names the new key."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from limbeck.recipe import Comparison, Recipe, RecipeError, kind_of
from limbeck.recipe.old_keys import rename_old_keys, rename_old_override
from tests import tiny

ROOT = Path(__file__).parents[2]
OLD = {"cache": "store", "method": "preset"}


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").glob("*.yaml")), ids=lambda path: path.stem)
def test_a_built_in_recipe_means_the_same_with_the_old_keys(path, monkeypatch):
    monkeypatch.setenv("LIMBECK_DATA", str(ROOT))
    content = yaml.safe_load(path.read_text())
    assert not set(OLD.values()) & set(content)
    kind = kind_of(content)
    old = {OLD.get(key, key): value for key, value in content.items()}
    if set(old) == set(content):
        assert kind.from_dict(old, files=False) == kind.from_dict(content, files=False)
        return
    with pytest.warns(FutureWarning, match=r"old name of (cache|method):"):
        assert kind.from_dict(old, files=False) == kind.from_dict(content, files=False)


def test_old_keys_in_a_file_and_on_the_command_line(tmp_path):
    path = tmp_path / "old.yaml"
    path.write_text(yaml.safe_dump(tiny.content() | {"store": {"path": "kept", "views": 2}}))
    with pytest.warns(FutureWarning, match=r"old.yaml: store: is the old name of cache:"):
        recipe = Recipe.read(path, ["store.views=4"])
    assert recipe.cache is not None
    assert (recipe.cache.path, recipe.cache.views) == ("kept", 4)
    assert rename_old_override("preset.tinybert.layers=4") == "method.tinybert.layers=4"
    assert rename_old_override("training.store=store.x") == "training.store=store.x"


def test_both_keys_at_once_are_refused():
    with pytest.raises(RecipeError, match=r"store: is the old name of cache:, and both are given; keep the latter"):
        Recipe.from_dict(tiny.content() | {"store": "auto", "cache": "auto"})


def test_the_old_name_of_the_control_among_variants():
    content = {key: value for key, value in tiny.content().items() if key != "terms"}
    with pytest.warns(FutureWarning, match="variant alone is the old name of variant control"):
        old = Comparison.from_dict(content | {"variants": {"alone": ["hard_targets"], "soft": ["soft_targets"]}})
    assert list(old.variants) == ["control", "soft"]
    assert rename_old_keys({"variants": {"soft": []}}, "here") == {"variants": {"soft": []}}
