"""`Uniform`: uniform noise as inputs, without a generator."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from limbeck.core.source import registry
from limbeck.data.sources.noise import Noise
from limbeck.utils.finite import require_finite


@registry.register("uniform")
class Uniform(Noise):
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
        super().__init__(shape, batch_size)
        require_finite("Uniform", {"low": low, "high": high})
        if low >= high:
            raise ValueError(f"Uniform: low is {low} and high is {high}; expected low < high")
        self.low, self.high = low, high

    def draw(self, shape: Sequence[int], generator: Generator) -> Tensor:
        return self.low + (self.high - self.low) * torch.rand(*shape, generator=generator)
