"""`Gaussian`: plain noise as inputs, without a generator."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from limbeck.core.source import registry
from limbeck.data.sources.noise import Noise
from limbeck.utils.finite import require_finite


@registry.register("gaussian")
class Gaussian(Noise):
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
        super().__init__(shape, batch_size)
        require_finite("Gaussian", {"mean": mean, "std": std, "low": low, "high": high})
        if std <= 0:
            raise ValueError(f"Gaussian: std is {std}; expected a positive number")
        if low is not None and high is not None and low >= high:
            raise ValueError(f"Gaussian: low is {low} and high is {high}; expected low < high, or none of them")
        self.mean, self.std, self.low, self.high = mean, std, low, high

    def draw(self, shape: Sequence[int], generator: Generator) -> Tensor:
        x = torch.randn(*shape, generator=generator) * self.std + self.mean
        return x if self.low is None and self.high is None else x.clamp(self.low, self.high)
