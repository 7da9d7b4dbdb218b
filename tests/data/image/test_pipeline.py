"""Pipelines: views are bit-equal in every batch, and transforms draw independently."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck.data import Pipeline
from limbeck.data.image import to_float, transforms
from tests.data.image.pictures import identical, look, make_items

SPECS: dict[str, list[Any]] = {
    "nothing": [],
    "random_crop": ["random_crop"],
    "random_crop grey": [{"random_crop": {"padding": 2, "fill": 0.3}}],
    "random_crop reflect": [{"random_crop": {"fill": "reflect"}}],
    "horizontal_flip": ["horizontal_flip"],
    "color_jitter": [{"color_jitter": {"hue": 0.2}}],
    "cutout": [{"cutout": {"size": 7}}],
    "random_erasing": [{"random_erasing": {"p": 0.8}}],
    "random_resized_crop": ["random_resized_crop"],
    "random_resized_crop size": [{"random_resized_crop": {"size": 9}}],
    "mixup": ["horizontal_flip", "mixup"],
    "cutmix": ["random_crop", "cutmix"],
    "all": [
        "random_resized_crop",
        "horizontal_flip",
        {"color_jitter": {"hue": 0.1}},
        "mixup",
        "random_erasing",
        "cutmix",
        "cutout",
    ],
}


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
@pytest.mark.parametrize("channels", [1, 3])
def test_an_items_view_is_bit_equal_in_every_batch(spec: list[Any], channels: int) -> None:
    pipeline, items = Pipeline.from_spec(spec), make_items(channels=channels)
    whole = torch.arange(len(items))
    images, target = look(pipeline, items, whole, seed=1, view=2)

    @settings(max_examples=30, deadline=None)
    @given(st.lists(st.integers(0, len(items) - 1), min_size=1, max_size=40))
    def check(chosen: list[int]) -> None:
        rows = torch.tensor(chosen)
        again, target_again = look(pipeline, items, rows, seed=1, view=2)
        assert identical(again, images[rows])
        assert identical(target_again, target[rows])

    check()


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_views_do_not_depend_on_the_number_of_threads(spec: list[Any]) -> None:
    pipeline, items = Pipeline.from_spec(spec), make_items(count=160, height=32, width=32)
    rows, threads = torch.arange(len(items)), torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = look(pipeline, items, rows)
        torch.set_num_threads(3)
        three = look(pipeline, items, rows)
    finally:
        torch.set_num_threads(threads)
    assert identical(one[0], three[0])
    assert identical(one[1], three[1])


@pytest.mark.parametrize("spec", [spec for spec in SPECS.values() if spec], ids=[name for name in SPECS if name != "nothing"])
def test_other_seeds_views_and_streams_give_other_images(spec: list[Any]) -> None:
    pipeline, items = Pipeline.from_spec(spec), make_items()
    rows = torch.arange(len(items))
    base, _ = look(pipeline, items, rows)
    for other in ({"seed": 1}, {"view": 1}, {"stream": "weak"}):
        images, _ = look(pipeline, items, rows, **other)  # type: ignore[arg-type]
        changed = (images != base).flatten(1).any(1).float().mean()
        assert changed > 0.3, other


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_views_are_floats_in_range_and_do_not_change_their_input(spec: list[Any]) -> None:
    items = make_items()
    rows = torch.arange(len(items))
    before = items.fetch(rows).clone()
    images, _ = look(Pipeline.from_spec(spec), items, rows)
    assert images.dtype == torch.float32
    assert images.min() >= 0
    assert images.max() <= 1
    assert torch.equal(items.fetch(rows), before)


@pytest.mark.parametrize("name", [name for name, spec in SPECS.items() if not {"mixup", "cutmix"} & set(map(str, spec))])
def test_float_images_are_treated_like_uint8_ones(name: str) -> None:
    items = make_items()
    images, pipeline = items.fetch(torch.arange(20)), Pipeline.from_spec(SPECS[name])
    from_uint8, _ = pipeline(images, items.keys[:20])
    from_float, _ = pipeline(to_float(images), items.keys[:20])
    assert torch.equal(from_uint8, from_float)


def test_an_empty_pipeline_divides_by_255() -> None:
    images = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    out, _ = Pipeline()(images, torch.zeros(1, dtype=torch.int64))
    assert out.flatten().tolist() == [torch.tensor(n / 255, dtype=torch.float32).item() for n in range(256)]


def test_adding_a_transform_leaves_the_draws_of_the_others_unchanged() -> None:
    items = make_items()
    images, keys = items.fetch(torch.arange(30)), items.keys[:30]
    plain, _ = Pipeline.from_spec(["random_crop"])(images, keys)
    jittered, _ = Pipeline.from_spec(
        [{"color_jitter": dict.fromkeys(("brightness", "contrast", "saturation"), 0)}, "random_crop"]
    )(images, keys)
    assert torch.equal(plain, jittered)


def test_the_same_transform_twice_draws_twice() -> None:
    images = torch.rand(1, 3, 8, 8).expand(400, -1, -1, -1)
    out, _ = Pipeline.from_spec(["horizontal_flip", "horizontal_flip"])(images, torch.arange(400))
    same = sum(torch.equal(each, images[0]) for each in out)
    assert 150 < same < 250


def test_registered_names() -> None:
    assert set(transforms.names()) >= {
        "random_crop",
        "horizontal_flip",
        "color_jitter",
        "cutout",
        "random_erasing",
        "random_resized_crop",
        "mixup",
        "cutmix",
    }


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (["random_corp"], "unknown transform 'random_corp'; nearest: random_crop"),
        ([{"random_crop": {"pading": 4}}], "transform 'random_crop'.*pading"),
        ([{"random_crop": 4}], "mapping of options, found 4"),
        ([{"random_crop": {}, "cutout": {}}], "one name"),
        ([{"horizontal_flip": {"p": 1.5}}], "p=1.5: expected a number from 0 to 1"),
        ([{"random_resized_crop": {"scale": [0, 1]}}], "scale"),
        ([{"color_jitter": {"hue": 0.7}}], "hue=0.7"),
        ([{"mixup": {"alpha": 0}}], "alpha=0"),
    ],
)
def test_wrong_specs_are_refused(spec: list[Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Pipeline.from_spec(spec)


def test_mixing_without_a_data_set_is_refused() -> None:
    with pytest.raises(ValueError, match="pool=items"):
        Pipeline.from_spec(["mixup"])(torch.rand(2, 1, 2, 2), torch.arange(2))
