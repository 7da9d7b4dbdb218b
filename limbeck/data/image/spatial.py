"""Targets with a place in the image: boxes, points and masks, which move with the pixels of a view."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from limbeck.core.labels import UNLABELLED
from limbeck.data.image.affine import Affine
from limbeck.utils.registry import Registry

spatial_parts = Registry("spatial part")
LABELS = "labels"
LABELLED = "labelled"


class SpatialPart(ABC):
    """How one part of a target moves with the image. It is registered under the name of the part."""

    @abstractmethod
    def move(self, part: Tensor, affine: Affine) -> tuple[Tensor, Tensor | None]:
        """The part in the transformed image, and which of its objects `[B, K]` are still in it; None: all."""


@spatial_parts.register("boxes")
class Boxes(SpatialPart):
    """Boxes `[B, K, 4]`: left, top, right, bottom, in pixels. They are cut off at the edges; a box outside becomes zeros."""

    def move(self, part: Tensor, affine: Affine) -> tuple[Tensor, Tensor | None]:
        corners = affine.apply(part.view(*part.shape[:-1], 2, 2))
        low, high = corners.amin(-2), corners.amax(-2)  # a mirrored box exchanges left and right
        limits = torch.tensor([affine.after[1], affine.after[0]], dtype=part.dtype)
        low, high = (torch.minimum(side.clamp(min=0), limits) for side in (low, high))
        visible = (high > low).all(-1)
        return torch.cat([low, high], -1) * visible[..., None], visible


@spatial_parts.register("points")
class Points(SpatialPart):
    """Points `[B, K, 2]`: x and y in pixels. Those outside keep their place outside."""

    def move(self, part: Tensor, affine: Affine) -> tuple[Tensor, Tensor | None]:
        moved, limits = affine.apply(part), torch.tensor([affine.after[1], affine.after[0]])
        return moved, ((moved >= 0) & (moved <= limits)).all(-1)


@spatial_parts.register("masks")
class Masks(SpatialPart):
    """Masks of whole numbers or bool `[B, …, H, W]`, one for each image or for each object; 0 outside the image."""

    def move(self, part: Tensor, affine: Affine) -> tuple[Tensor, Tensor | None]:
        if tuple(part.shape[-2:]) != affine.before:
            raise ValueError(f"masks: {list(part.shape[-2:])} pixels, and the images have {list(affine.before)}")
        rows, columns = affine.source_pixels(1), affine.source_pixels(0)
        inside = _within(rows, affine.before[0])[:, :, None] & _within(columns, affine.before[1])[:, None, :]
        rows, columns = rows.clamp(0, affine.before[0] - 1), columns.clamp(0, affine.before[1] - 1)
        planes = part.flatten(1, -3) if part.ndim > 3 else part[:, None]
        items = torch.arange(len(part))[:, None, None, None]
        taken = planes[items, torch.arange(planes.shape[1])[:, None, None], rows[:, None, :, None], columns[:, None, None, :]]
        moved = torch.where(inside[:, None], taken, torch.zeros_like(taken)).view(*part.shape[:-2], *affine.after)
        return moved, moved.flatten(2).any(-1) if part.ndim == 4 else None


def has_spatial_parts(target: Any) -> bool:
    """Whether a target has parts that move with the image."""
    return isinstance(target, Mapping) and any(name in spatial_parts for name in target)


def move_target(target: Mapping[str, Tensor], affine: Affine) -> dict[str, Tensor]:
    """The target in the transformed image. Objects that are no longer in it get the label -100 in the part "labels".

    Args:
        target: parts by name; those called `boxes`, `points`, `masks` or as another registered part move, the others stay.
    """
    moved, seen = dict(target), None
    for name, part in target.items():
        if name not in spatial_parts:
            continue
        moved[name], visible = spatial_parts.get(name).move(part, affine)
        if visible is not None and LABELS in target and visible.shape == target[LABELS].shape:
            seen = visible if seen is None else seen & visible
    if seen is not None:
        moved[LABELS] = torch.where(seen, target[LABELS], UNLABELLED)
    return moved


def pad_objects(items: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Targets with a different number of objects for each image as one mapping of tensors `[N, K, …]`.

    Args:
        items: for each image, its parts `[objects, …]`, such as `{"boxes": [k, 4], "labels": [k]}`.

    Returns:
        The parts, filled up with zeros, and with -100 in the part "labels"; and "labelled", true for every image, also for one
        without objects.

    Raises:
        ValueError: parts of one image that differ in their number of objects; images with other parts.
    """
    names = list(items[0])
    for row, item in enumerate(items):
        counts = {name: len(part) for name, part in item.items()}
        if list(item) != names or len(set(counts.values())) > 1:
            raise ValueError(f"item {row} has objects {counts}; expected {', '.join(names)} with as many each")
    most = max((len(item[names[0]]) for item in items), default=0)
    padded = {}
    for name in names:
        rows = torch.stack([_pad(item[name], most) for item in items])
        if name == LABELS:
            count = torch.tensor([len(item[name]) for item in items])
            rows[torch.arange(most) >= count[:, None]] = UNLABELLED
        padded[name] = rows
    return padded | {LABELLED: torch.ones(len(items), dtype=torch.bool)}


def _pad(part: Tensor, count: int) -> Tensor:
    return torch.cat([part, part.new_zeros(count - len(part), *part.shape[1:])])


def _within(index: Tensor, length: int) -> Tensor:
    return (index >= 0) & (index < length)
