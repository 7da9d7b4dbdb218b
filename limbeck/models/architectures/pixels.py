"""Images whose pixels are parameters, for the inversion of a model."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from limbeck.models.base import register_builder, require_positive


@register_builder("pixels")
def pixels(count: int, shape: Sequence[int], low: float = 0.0, high: float = 1.0) -> Pixels:
    """Images that are trained: row numbers [B] → images [B, *shape] between `low` and `high`.

    A source that gives row numbers reads them: `{generated: {actor: images, rows: 256}}`.

    Args:
        count: number of images.
        shape: of one, such as [3, 32, 32].
        low, high: bounds of the pixels.

    Raises:
        ValueError: a number below one, or bounds in the wrong order.
    """
    require_positive(count=count, **{f"shape[{axis}]": length for axis, length in enumerate(shape)})
    if low >= high:
        raise ValueError(f"low is {low} and high is {high}; expected low < high")
    return Pixels(count, shape, low, high)


class Pixels(nn.Module):
    """See `pixels`. x = low + (high − low)·sigmoid(p), p ~ N(0, 1) at first.

    Attributes:
        rows: number of images.
        of_rows: the parameters that are of single images.
    """

    of_rows = ("values",)

    def __init__(self, count: int, shape: Sequence[int], low: float, high: float) -> None:
        super().__init__()
        self.low, self.high, self.rows = low, high, count
        self.values = nn.Parameter(torch.randn(count, *shape))

    def reset_parameters(self) -> None:
        """Draws new images."""
        nn.init.normal_(self.values)

    def forward(self, rows: Tensor) -> Tensor:
        if rows.is_floating_point() or rows.ndim != 1:
            raise ValueError(
                f"images are read by their row numbers [batch], got {rows.dtype} of shape {list(rows.shape)}; give the source "
                f"that reads them rows: {len(self.values)} in place of noise"
            )
        return self.low + (self.high - self.low) * self.values[rows].sigmoid()
