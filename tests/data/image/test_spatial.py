"""Boxes, points and masks follow the image: equal to what is found in transformed pictures of them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from limbeck.core.batch import Batch
from limbeck.core.source import BatchPosition
from limbeck.data import Dataset, Items, Pipeline
from limbeck.data.image.affine import Affine
from limbeck.data.image.spatial import SpatialPart, move_target, pad_objects, spatial_parts
from limbeck.data.image.transform import Transform

HEIGHT, WIDTH = 15, 19
EXACT = [
    ["horizontal_flip"],
    [{"random_crop": {"padding": 6}}],
    [{"random_crop": {"padding": 3}}, "horizontal_flip", {"random_crop": {"padding": 2}}, "horizontal_flip"],
    [{"color_jitter": {}}, {"random_crop": {"padding": 4, "fill": 0}}],
]


def drawn(count: int = 40, objects: int = 3) -> dict[str, Tensor]:
    """Random boxes of whole pixels, their classes, and their masks."""
    generator = torch.Generator().manual_seed(0)

    def numbers(low: int, high: int) -> Tensor:
        return torch.randint(low, high, (count, objects), generator=generator)

    left, top = numbers(0, WIDTH - 2), numbers(0, HEIGHT - 2)
    right, bottom = (
        torch.minimum(left + numbers(1, 9), torch.tensor(WIDTH)),
        torch.minimum(top + numbers(1, 9), torch.tensor(HEIGHT)),
    )
    boxes = torch.stack([left, top, right, bottom], -1).float()
    return {"boxes": boxes, "labels": numbers(0, 5), "masks": indicator(boxes)}


def indicator(boxes: Tensor) -> Tensor:
    """Pictures of boxes, bool [B, K, H, W]."""
    x, y = torch.arange(WIDTH), torch.arange(HEIGHT)
    left, top, right, bottom = (boxes[..., at, None] for at in range(4))
    return ((y >= top) & (y < bottom))[..., :, None] & ((x >= left) & (x < right))[..., None, :]


def found_boxes(pictures: Tensor) -> Tensor:
    """The smallest box around the set pixels of each picture; zeros if there are none."""
    boxes = torch.zeros(*pictures.shape[:2], 4)
    for item in range(len(pictures)):
        for one in range(pictures.shape[1]):
            rows, columns = pictures[item, one].any(1).nonzero()[:, 0], pictures[item, one].any(0).nonzero()[:, 0]
            if len(rows):
                boxes[item, one] = torch.stack([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
    return boxes


def viewed(pipeline: Pipeline, pictures: Tensor, keys: Tensor, target: Any = None, view: Any = 3) -> tuple[Tensor, Any]:
    return pipeline(pictures, keys, seed=5, view=view, target=target)


@pytest.mark.parametrize("spec", EXACT, ids=str)
def test_boxes_and_masks_are_those_of_the_transformed_picture(spec: list[Any]) -> None:
    target, keys, pipeline = drawn(), torch.arange(40) * 977, Pipeline.from_spec(spec)
    moving = Pipeline([transform for transform in pipeline.transforms if not transform.in_place])  # type: ignore[union-attr]
    pictures = [
        viewed(moving, target["masks"][:, [one]].float().expand(-1, 3, -1, -1), keys)[0][:, 0] > 0.5 for one in range(3)
    ]
    expected = torch.stack(pictures, 1)
    _, moved = viewed(pipeline, torch.rand(40, 3, HEIGHT, WIDTH), keys, target)
    assert torch.equal(moved["masks"], expected)
    assert torch.equal(moved["boxes"], found_boxes(expected))
    gone = ~expected.flatten(2).any(-1)
    assert torch.equal(moved["labels"], torch.where(gone, -100, target["labels"]))
    if "padding': 6" in str(spec):
        assert gone.any()  # some objects leave the image


def test_boxes_of_a_resized_crop_are_those_of_the_resized_picture() -> None:
    pipeline = Pipeline.from_spec([{"random_resized_crop": {"scale": (0.3, 1.0), "size": (60, 76)}}, "horizontal_flip"])
    target, keys = drawn(), torch.arange(40)
    pictures = [viewed(pipeline, target["masks"][:, [one]].float(), keys)[0][:, 0] > 0.5 for one in range(3)]
    expected = found_boxes(torch.stack(pictures, 1))
    _, moved = viewed(pipeline, torch.rand(40, 3, HEIGHT, WIDTH), keys, target)
    both = (expected.sum(-1) > 0) & (moved["labels"] >= 0)
    assert both.float().mean() > 0.7
    assert (moved["boxes"] - expected)[both].abs().max() <= 1  # the picture shows whole pixels
    assert moved["masks"].shape == (40, 3, 60, 76)
    assert (moved["masks"] == torch.stack(pictures, 1)).float().mean() > 0.99


def test_points_move_with_the_corners_of_boxes() -> None:
    target, keys = drawn(), torch.arange(40)
    pipeline = Pipeline.from_spec([{"random_resized_crop": {"size": 30}}, "horizontal_flip"])
    points = {"points": target["boxes"][..., :2], "labels": target["labels"]}
    affine = pipeline.affine((HEIGHT, WIDTH), keys, seed=5, view=3)
    _, moved = viewed(pipeline, torch.rand(40, 3, HEIGHT, WIDTH), keys, points)
    x = affine.scale[:, None, 0] * points["points"][..., 0] + affine.shift[:, None, 0]
    torch.testing.assert_close(moved["points"][..., 0], x.float())
    outside = ((moved["points"] < 0) | (moved["points"] > 30)).any(-1)
    assert outside.any()
    assert torch.equal(moved["labels"] == -100, outside)


def test_the_view_of_a_target_does_not_depend_on_the_batch() -> None:
    target, keys = drawn(), torch.arange(40) * 31
    pipeline, images = Pipeline.from_spec(EXACT[2]), torch.rand(40, 3, HEIGHT, WIDTH)
    _, whole = viewed(pipeline, images, keys, target)
    _, part = viewed(pipeline, images[7:9], keys[7:9], {name: value[7:9] for name, value in target.items()})
    assert all(torch.equal(part[name], whole[name][7:9]) for name in target)
    _, other = viewed(pipeline, images, keys, target, view=4)
    assert not torch.equal(other["boxes"], whole["boxes"])


def test_a_data_set_with_ragged_boxes_gives_batches_of_them() -> None:
    boxes = [torch.tensor([[1.0, 2, 5, 6], [0, 0, 3, 3]]), torch.zeros(0, 4), torch.tensor([[4.0, 4, 9, 9]])]
    target = pad_objects([{"boxes": one, "labels": torch.arange(len(one))} for one in boxes])
    assert target["labels"].tolist() == [[0, 1], [-100, -100], [0, -100]]
    items = Items.from_tensors(torch.rand(3, 3, 12, 12), target)
    assert len(items.labelled()) == 3  # an image without objects has a label too
    flip = {"default": Pipeline.from_spec([{"horizontal_flip": {"p": 1}}])}
    batch: Batch = Dataset(items, batch_size=3, views=flip).batch(BatchPosition(step=0, seed=0))
    assert isinstance(batch.target, dict)
    assert batch.index is not None
    mirrored = {0: [[7, 2, 11, 6], [9, 0, 12, 3]], 1: [[0] * 4, [0] * 4], 2: [[3, 4, 8, 9], [0] * 4]}
    for at, row in enumerate(batch.index.tolist()):
        assert batch.target["boxes"][at].tolist() == mirrored[row]
        assert batch.target["labels"][at].tolist() == target["labels"][row].tolist()


def test_other_parts_stay_and_registered_ones_move(monkeypatch: pytest.MonkeyPatch) -> None:
    class Rows(SpatialPart):
        def move(self, part: Tensor, affine: Affine) -> tuple[Tensor, None]:
            return part + affine.shift[:, 1:], None

    monkeypatch.setattr(spatial_parts, "_parts", {**spatial_parts._parts, "rows": Rows})
    affine = Affine(torch.ones(2, 2), torch.tensor([[1.0, 2.0], [3.0, 4.0]]), (8, 8), (8, 8))
    moved = move_target({"rows": torch.zeros(2, 1), "names": torch.arange(2)}, affine)
    assert moved["rows"].tolist() == [[2], [4]]
    assert moved["names"].tolist() == [0, 1]


def test_what_boxes_cannot_follow_is_refused() -> None:
    class Shift(Transform):
        name = "shift"

        def __call__(self, images: Tensor, generator: Any) -> Tensor:
            return images.roll(1, 3)

    target, images, keys = drawn(), torch.rand(40, 3, HEIGHT, WIDTH), torch.arange(40)
    with pytest.raises(ValueError, match="shift: it does not say where pixels move"):
        viewed(Pipeline([Shift()]), images, keys, target)
    with pytest.raises(ValueError, match="mixup mixes images, and boxes, points or masks"):
        viewed(Pipeline.from_spec(["mixup"]), images, keys, target)
    with pytest.raises(ValueError, match=r"masks: \[15, 19\] pixels, and the images have \[9, 9\]"):
        viewed(Pipeline.from_spec(["horizontal_flip"]), torch.rand(40, 3, 9, 9), keys, target)
    with pytest.raises(ValueError, match=r"item 1 has objects \{'boxes': 2, 'labels': 1\}"):
        pad_objects(
            [{"boxes": torch.zeros(1, 4), "labels": torch.zeros(1)}, {"boxes": torch.zeros(2, 4), "labels": torch.zeros(1)}]
        )


def test_a_list_with_the_objects_of_each_image_is_padded() -> None:
    objects = [{"boxes": torch.rand(count, 4), "labels": torch.arange(count)} for count in (2, 0, 1)]
    items = Items.from_tensors(torch.rand(3, 3, 8, 8), objects)
    assert isinstance(items.target, dict)
    assert items.target["boxes"].shape == (3, 2, 4)
    assert items.select(torch.tensor([2])).target["labels"].tolist() == [[0, -100]]  # type: ignore[index, call-overload]
