"""What is said where memory is used up."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from limbeck.recipe.errors import user_message
from limbeck.utils.memory import OutOfMemoryError, explain_out_of_memory, free_memory, is_out_of_memory

RECIPE = {
    "data": {"train": "digits"},
    "training": {"batch_size": 64, "views": [{"random_crop": {"padding": 10**12}}]},
    "x": True,
}


@pytest.mark.parametrize(
    "take", [lambda: torch.empty(2**50), lambda: np.empty(2**50), lambda: [0] * 2**50, lambda: torch.empty(2**40, 2**40)]
)
def test_the_largest_numbers_of_a_recipe_are_named(take: object) -> None:
    assert callable(take)
    said = r"^not enough memory.*: training\.views\.0\.random_crop\.padding: 10+$"
    with pytest.raises(OutOfMemoryError, match=said), explain_out_of_memory(lambda: RECIPE):
        take()


def test_other_errors_stay() -> None:
    with pytest.raises(RuntimeError, match="shapes"), explain_out_of_memory(lambda: RECIPE):
        raise RuntimeError("shapes")


def test_a_user_is_told_without_the_words_of_the_library() -> None:
    with pytest.raises(RuntimeError) as found:
        torch.empty(2**50)
    assert is_out_of_memory(found.value)
    assert user_message(found.value).startswith("not enough memory: 4,503,599.6 GB were asked for and ")


def test_free_memory_is_known() -> None:
    free = free_memory()
    assert free is not None
    assert 10**6 < free < 10**15
