"""Where the pixels of an image went: the geometric part of a view."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

Size = tuple[int, int]
"""Height and width, in pixels."""


@dataclass(frozen=True)
class Affine:
    """x' = scale · x + shift along each axis, for each image of a batch.

    Coordinates are in pixels: (0, 0) is the top left corner of the top left pixel, (width, height) the bottom right corner of
    the bottom right one. A negative scale mirrors the axis.

    Attributes:
        scale, shift: x and y, float64 `[B, 2]`.
        before, after: the size of the image before and after.
    """

    scale: Tensor
    shift: Tensor
    before: Size
    after: Size

    @classmethod
    def identity(cls, count: int, size: Size) -> Affine:
        """Leaves `count` images of this size as they are."""
        return cls(torch.ones(count, 2, dtype=torch.float64), torch.zeros(count, 2, dtype=torch.float64), size, size)

    def then(self, other: Affine) -> Affine:
        """This one followed by another."""
        return Affine(other.scale * self.scale, other.scale * self.shift + other.shift, self.before, other.after)

    def apply(self, points: Tensor) -> Tensor:
        """The new coordinates of points `[B, …, 2]` (x, y), in their data type."""
        by_item = (len(points), *(1,) * (points.ndim - 2), 2)
        return (self.scale.view(by_item) * points + self.shift.view(by_item)).to(points.dtype)

    def source_pixels(self, axis: int) -> Tensor:
        """The pixel of the image before that holds the centre of each pixel after, int64 `[B, length]`; it may lie outside.

        Args:
            axis: 0 for columns (x), 1 for rows (y).
        """
        centres = torch.arange(self.after[1 - axis], dtype=torch.float64) + 0.5
        return ((centres - self.shift[:, axis, None]) / self.scale[:, axis, None]).floor().long()
