"""Two ranks, started from the command line with default settings, train the weights of one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli import rank_recipes

ROUNDING = 5e-6  # float32 sums in another order, which AdamW amplifies; BatchNorm of each rank's own differs by 1e-3


@pytest.mark.parametrize("recipe", [rank_recipes.image_recipe, rank_recipes.text_recipe])
def test_two_ranks_train_the_weights_of_one(recipe: Callable[[Path, int], Path], tmp_path: Path) -> None:
    assert rank_recipes.difference(recipe(tmp_path, 12), tmp_path) < ROUNDING
