"""Views by field and by name: which transforms change what, keyed by item and view."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from limbeck.data import Dataset, FieldStorage, Items, Pipeline, field_items
from limbeck.data.fields import build_view, check_views, default_view, named_views
from limbeck.data.fields.views import transforms_in, view_of_field
from limbeck.recipe import Recipe, RecipeError
from limbeck.runs import run_recipe
from tests.data.loading.files import parquet
from tests.runs.test_field_runs import columns, content

FLIP = {"horizontal_flip": {"p": 1.0}}
FIELDS = {"wave": "audio", "image": "image"}


def things(count: int = 12) -> Items:
    generator = torch.Generator().manual_seed(0)
    parts = {
        "wave": Items.from_tensors(torch.rand(count, 1, 4, 5, generator=generator), list(range(count)), images=False),
        "image": Items.from_tensors(torch.rand(count, 1, 6, 6, generator=generator), list(range(count))),
    }
    items = field_items(parts, {"student": "wave", "teacher": "image"})
    assert isinstance(items.storage, FieldStorage)
    items.storage.fields["wave"].storage.modality = "audio"
    return items


def batch_of(views: Any, rows: list[int] | None = None, items: Items | None = None) -> Any:
    items = items or things()
    source = Dataset(items, batch_size=4, views={name: build_view(items, view) for name, view in named_views(views).items()})
    chosen = torch.tensor(rows or [0, 1, 2])
    return source.batch_of_views(chosen, torch.zeros_like(chosen))


def test_each_field_has_its_own_pipeline() -> None:
    plain, changed = batch_of([]).inputs["default"], batch_of({"image": [FLIP], "wave": ["noise"]}).inputs["default"]
    assert torch.equal(changed["image"], plain["image"].flip(-1))
    assert changed["teacher"] is changed["image"]
    assert changed["student"] is changed["wave"]
    difference = (changed["wave"] - plain["wave"]).abs()
    assert 0 < difference.max() <= 0.1


def test_a_list_changes_the_one_field_that_it_fits() -> None:
    for views, field, other in (([FLIP], "image", "wave"), (["noise"], "wave", "image")):
        plain, changed = batch_of([]).inputs["default"], batch_of(views).inputs["default"]
        assert not torch.equal(changed[field], plain[field])
        assert torch.equal(changed[other], plain[other])


def test_named_views_are_views_of_the_same_items() -> None:
    batch = batch_of({"default": {"image": [FLIP]}, "weak": {"image": [], "wave": ["time_shift"]}})
    plain = batch_of([]).inputs["default"]
    assert torch.equal(batch.inputs["default"]["image"], plain["image"].flip(-1))
    assert torch.equal(batch.inputs["weak"]["image"], plain["image"])
    assert torch.equal(batch.inputs["default"]["wave"], plain["wave"])
    images = Items.from_tensors(torch.rand(6, 1, 4, 4))
    flipped = batch_of({"default": [FLIP], "weak": []}, items=images)
    assert torch.equal(flipped.inputs["default"], flipped.inputs["weak"].flip(-1))


@pytest.mark.parametrize("name", ["noise", "time_shift", "time_mask", "frequency_mask"])
def test_transforms_of_sounds_depend_on_item_and_view_alone(name: str) -> None:
    sounds = torch.rand(5, 1, 12, 20, generator=torch.Generator().manual_seed(0))
    keys, pipeline = torch.arange(5) * 7919, Pipeline.from_spec([{name: {} if name == "noise" else {"share": 0.5}}])
    all_at_once = pipeline(sounds, keys, seed=3, view=1)[0]
    one_by_one = torch.cat([pipeline(sounds[[row]], keys[[row]], seed=3, view=1)[0] for row in (4, 2, 0, 1, 3)])
    assert torch.equal(all_at_once[[4, 2, 0, 1, 3]], one_by_one)
    assert not torch.equal(all_at_once, pipeline(sounds, keys, seed=3, view=2)[0])
    assert all_at_once.min() >= 0
    assert all_at_once.max() <= 1
    assert not torch.equal(all_at_once, sounds)


def test_a_shifted_sound_is_the_same_sound_between_silence() -> None:
    sounds = torch.rand(64, 1, 2, 10) + 0.1
    shifted = Pipeline.from_spec([{"time_shift": {"share": 0.3}}])(sounds, torch.arange(64))[0]
    seen = set()
    for before, after in zip(sounds, shifted, strict=True):
        by = next(by for by in range(-3, 4) if torch.equal(after, _moved(before, by)))
        seen.add(by)
    assert seen == set(range(-3, 4))


def _moved(sound: torch.Tensor, by: int) -> torch.Tensor:
    moved = torch.zeros_like(sound)
    source = sound[..., max(by, 0) : 10 + min(by, 0)]
    moved[..., max(-by, 0) : max(-by, 0) + source.shape[-1]] = source
    return moved


def test_the_parts_of_views() -> None:
    views = {"default": {"image": ["random_crop"], "wave": ["noise"]}, "weak": [{"cutout": {"size": 2}}]}
    assert list(transforms_in(views)) == ["random_crop", "noise", "cutout"]
    assert default_view(views) == views["default"]
    assert default_view(["cutout"]) == ["cutout"]
    assert view_of_field(views, "wave") == ["noise"]
    assert view_of_field({"image": ["cutout"]}, "wave") == ()
    assert view_of_field(["cutout"], "image") == ["cutout"]


@pytest.mark.parametrize(
    ("views", "fields", "message"),
    [
        (
            {"weak": ["cutout"]},
            None,
            "'weak' is no field; the data has no fields. A mapping of views by name has the key 'default'",
        ),
        ({"imag": ["cutout"]}, FIELDS, "'imag' is no field; the fields are image"),
        ({"default": {"imag": []}}, FIELDS, "'imag' is no field"),
        ({"wave": ["cutout"]}, FIELDS, "views.wave: cutout change image, and the field holds audio"),
        ({"default": [], "weak": {"image": ["noise"]}}, FIELDS, "views.weak.image: noise change audio"),
        (["cutout"], {"a": "image", "b": "image"}, r"cutout fit the fields a, b; name the field, as in {a: \[cutout\]}"),
        (["noise"], {"a": "image", "b": "text"}, "noise change audio, and no field holds that"),
        (
            ["noise", "cutout"],
            FIELDS,
            "one list of transforms changes one kind of inputs; noise changes audio, cutout changes image",
        ),
    ],
)
def test_views_that_do_not_fit_are_refused(views: Any, fields: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_views(views, fields)


def test_one_field_alone_is_not_mixed() -> None:
    with pytest.raises(ValueError, match="views of field 'image': mixup: one field alone cannot be mixed"):
        build_view(things(), {"image": ["mixup"]})


# --- in a recipe ------------------------------------------------------------------------------------------------------


def test_a_recipe_has_views_by_field_and_name(tmp_path: Path) -> None:
    pairs = str(parquet(tmp_path / "pairs.parquet", **columns(32)))
    fields = content(pairs, pairs)
    fields["training"] = fields["training"] | {"views": {"default": {"image": [FLIP], "wave": ["noise"]}, "weak": []}}
    fields["terms"] = ["hard_targets", {"soft_targets": {"student": "student", "teacher": "teacher#weak"}}]
    made = Recipe.from_dict(fields | {"control": False})
    assert made.training.views["weak"] == []  # type: ignore[call-overload]
    verdict = run_recipe(made, tmp_path / "run", progress=False)
    assert verdict.student is not None
    assert Recipe.read(tmp_path / "run" / "recipe.yaml").training.views == made.training.views


@pytest.mark.parametrize(
    ("views", "message"),
    [
        ({"imag": ["cutout"]}, "'imag' is no field; the fields are image"),
        ({"image": ["cutou"]}, "unknown transform 'cutou'; nearest: cutout"),
        ({"default": [], "weak": {"wave": ["cutout"]}}, "views.weak.wave: cutout change image, and the field holds audio"),
    ],
)
def test_recipes_refuse_views_before_data_is_read(views: Any, message: str) -> None:
    fields = content("a.parquet", "a.parquet")
    fields["training"] = fields["training"] | {"views": views}
    with pytest.raises(RecipeError, match=message):
        Recipe.from_dict(fields, files=False)


def test_a_field_cannot_have_the_name_of_a_view() -> None:
    fields = content("a.parquet", "a.parquet")
    fields["data"]["train"]["fields"] = {"default": "audio", "image": "image"}
    with pytest.raises(RecipeError, match="a field cannot be named 'default'"):
        Recipe.from_dict(fields, files=False)
