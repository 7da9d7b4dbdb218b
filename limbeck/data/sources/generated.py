"""`Generated`: noise that a generator turns into inputs."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from limbeck.core.batch import DEFAULT_VIEW, Batch
from limbeck.core.source import BatchPosition, Source, registry


@registry.register("generated")
class Generated(Source):
    """Noise z ~ N(0, 1) that an actor turns into inputs: `Generated("generator", batch_size=128)`.

    Every actor other than the generator receives generator(z). In an update that trains the generator, gradient passes through
    all actors to it; later updates of the same step use the same inputs, detached.

    Args:
        actor: name of the generator.
        batch_size: inputs in a batch.
        noise: length of z, or its shape.

    Raises:
        ValueError: a batch size or a length of z below 1.
    """

    def __init__(self, actor: str, batch_size: int = 128, noise: int | Sequence[int] = 100) -> None:
        if batch_size < 1:
            raise ValueError(f"Generated: batch_size is {batch_size}; expected 1 or more")
        self.generator = actor
        self.batch_size = batch_size
        self.noise = (noise,) if isinstance(noise, int) else tuple(noise)
        if not self.noise or min(self.noise) < 1:
            raise ValueError(f"Generated: noise is {noise!r}; expected the length of z, or its shape such as [64, 4, 4]")

    def batch(self, position: BatchPosition) -> Batch:
        z = torch.randn(self.batch_size, *self.noise, generator=position.random_generator("noise"))
        return Batch({DEFAULT_VIEW: position.part_of(z)})
