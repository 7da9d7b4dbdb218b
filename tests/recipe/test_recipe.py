"""A recipe as a whole: written, read again and built."""

from __future__ import annotations

from pathlib import Path

import pytest

from limbeck.recipe import Recipe, RecipeError
from tests import tiny


def test_what_is_written_reads_as_the_same_recipe(tmp_path: Path) -> None:
    recipe = tiny.recipe("training.views=[{random_crop: {padding: 1}}, horizontal_flip]", "training.optimizer.momentum=0.5",
                         "training.optimizer.name=sgd", "targets={gain: 1}")  # fmt: skip
    recipe.write(tmp_path / "recipe.yaml")
    again = Recipe.read(tmp_path / "recipe.yaml")
    assert again.model_dump() == recipe.model_dump()
    assert again.training.build() == recipe.training.build()


def test_a_method_without_training_data_is_refused() -> None:
    content = tiny.content("method={bert_pkd: {layers: 1}}")
    content |= {"terms": [], "student": {}, "data": {"test": "digits"}}
    with pytest.raises(RecipeError, match=r"data\.train: the method bert_pkd needs training data"):
        Recipe.from_dict(content)
