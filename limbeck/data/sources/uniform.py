"""`Uniform`: uniform noise as inputs, without a generator."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from limbeck.core.batch import DEFAULT_VIEW, Batch
from limbeck.core.source import BatchPosition, Source, registry


@registry.register("uniform")
class Uniform(Source):
    """Inputs x ~ U(low, high), every number on its own: `Uniform([3, 32, 32], batch_size=128)`.

    Beside `Gaussian` the other control of data-free methods; which of both serves a student better depends on the teacher.

    Args:
        shape: of one input, such as [channels, height, width].
        batch_size: inputs in a batch.
        low, high: bounds of the numbers.

    Raises:
        ValueError: a batch size or a length below 1, bounds in the wrong order.
    """

    def __init__(self, shape: int | Sequence[int], batch_size: int = 128, *, low: float = 0.0, high: float = 1.0) -> None:
        if batch_size < 1:
            raise ValueError(f"Uniform: batch_size is {batch_size}; expected 1 or more")
        self.shape = (shape,) if isinstance(shape, int) else tuple(shape)
        if not self.shape or min(self.shape) < 1:
            raise ValueError(f"Uniform: shape is {shape!r}; expected that of one input, such as [3, 32, 32]")
        if low >= high:
            raise ValueError(f"Uniform: low is {low} and high is {high}; expected low < high")
        self.batch_size, self.low, self.high = batch_size, low, high

    def batch(self, position: BatchPosition) -> Batch:
        x = torch.rand(self.batch_size, *self.shape, generator=position.random_generator("noise"))
        return Batch({DEFAULT_VIEW: position.part_of(self.low + (self.high - self.low) * x)})
