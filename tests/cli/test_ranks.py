"""Two ranks, started from the command line with default settings, train the weights of one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.cli import rank_recipes

ROUNDING = 5e-6  # float32 sums in another order, which AdamW amplifies; BatchNorm of each rank's own differs by 1e-3
HALF_PRECISION = 0.01  # in which logits are saved


SHARDED = {"shard": True, "gradient_checkpointing": True, "ema": 0.9, "evaluation_batch_size": 30}


@pytest.mark.parametrize("recipe", [rank_recipes.image_recipe, partial(rank_recipes.text_recipe, **SHARDED)])
def test_two_ranks_train_and_evaluate_what_one_does(recipe: Callable[[Path, int], Path], tmp_path: Path) -> None:
    """Each evaluates a part of the test items; texts with weights in shards."""
    assert rank_recipes.difference(recipe(tmp_path, 12), tmp_path) < ROUNDING
    assert rank_recipes.difference_of_predictions(tmp_path) < HALF_PRECISION
