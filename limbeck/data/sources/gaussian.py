"""`Gaussian`: plain noise as inputs, without a generator."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from limbeck.core.batch import DEFAULT_VIEW, Batch
from limbeck.core.source import BatchPosition, Source, registry


@registry.register("gaussian")
class Gaussian(Source):
    """Inputs x ~ N(mean, std²), every number on its own: `Gaussian([3, 32, 32], batch_size=128)`.

    A student learns a good part of what its teacher knows from such noise alone, so it is the control of data-free methods:
    what a generator or an inversion gives is the gain over it. The defaults fit images in [0, 1], and cut there.

    Args:
        shape: of one input, such as [channels, height, width].
        batch_size: inputs in a batch.
        mean, std: of each number.
        low, high: numbers outside are cut to these bounds; None: they are not.

    Raises:
        ValueError: a batch size or a length below 1, a deviation that is not positive, bounds in the wrong order.
    """

    def __init__(
        self,
        shape: int | Sequence[int],
        batch_size: int = 128,
        *,
        mean: float = 0.5,
        std: float = 0.25,
        low: float | None = 0.0,
        high: float | None = 1.0,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"Gaussian: batch_size is {batch_size}; expected 1 or more")
        self.shape = (shape,) if isinstance(shape, int) else tuple(shape)
        if not self.shape or min(self.shape) < 1:
            raise ValueError(f"Gaussian: shape is {shape!r}; expected that of one input, such as [3, 32, 32]")
        if std <= 0:
            raise ValueError(f"Gaussian: std is {std}; expected a positive number")
        if low is not None and high is not None and low >= high:
            raise ValueError(f"Gaussian: low is {low} and high is {high}; expected low < high, or none of them")
        self.batch_size, self.mean, self.std, self.low, self.high = batch_size, mean, std, low, high

    def batch(self, position: BatchPosition) -> Batch:
        x = torch.randn(self.batch_size, *self.shape, generator=position.random_generator("noise"))
        x = position.part_of(x * self.std + self.mean)
        if self.low is not None or self.high is not None:
            x = x.clamp(self.low, self.high)
        return Batch({DEFAULT_VIEW: x})
