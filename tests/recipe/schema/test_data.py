"""Data sets: short forms, and columns and items that are chosen."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from limbeck.recipe import RecipeError
from limbeck.recipe.schema.data import DatasetSpec, DataSpec
from tests.recipe.texts import data, quick


def test_candidates_must_come_from_somewhere(place: Path) -> None:
    with pytest.raises(RecipeError, match="words need candidates"):
        quick(place, data=data(place, augment={"neighbours": False}))


def test_a_data_set_may_be_just_its_path() -> None:
    assert DatasetSpec.model_validate("digits") == DatasetSpec.model_validate({"path": "digits"})
    few = DatasetSpec.model_validate({"path": "digits", "split": "test", "limit": 7}).load()
    assert len(few) == 7
    assert few.classes == 10
    large = DatasetSpec.model_validate({"path": "digits", "limit": 7, "size": 16}).load()
    assert large.fetch(torch.arange(2)).shape == (2, 1, 16, 16)


def test_items_of_several_fields_are_not_left_out_one_field_at_a_time() -> None:
    with pytest.raises(ValueError, match="on_error: skip"):
        DatasetSpec.model_validate(
            {"path": "pairs.parquet", "fields": {"wave": "audio", "picture": "image"}, "on_error": "skip"}
        )


@pytest.mark.parametrize(("given", "expected"), [("4GB", 4 * 10**9), ("512MiB", 512 << 20), (0, 0), (10, 10)])
def test_memory_is_a_number_or_has_a_unit(given: object, expected: int) -> None:
    assert DatasetSpec.model_validate({"path": "digits", "memory_limit": given}).memory_limit == expected


@pytest.mark.parametrize("given", ["much", -1, "4 cats"])
def test_other_amounts_of_memory_are_refused(given: object) -> None:
    with pytest.raises(ValueError, match="memory_limit"):
        DatasetSpec.model_validate({"path": "digits", "memory_limit": given})


@pytest.mark.parametrize(
    ("given", "stride"), [({}, 32), ({"max_length": 384}, 64), ({"stride": 8}, 8), ({"max_length": 64}, 16)]
)
def test_the_default_stride_of_questions_fits_their_windows(given: dict[str, int], stride: int) -> None:
    assert DataSpec.model_validate({"test": "digits", **given}).window_stride == stride
