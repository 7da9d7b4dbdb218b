"""`Noise`: the base of sources whose inputs are drawn number by number, without a generator."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from torch import Generator, Tensor

from limbeck.core.batch import DEFAULT_VIEW, Batch
from limbeck.core.source import BatchPosition, Source, require_counts


class Noise(Source):
    """Inputs of one shape; a subclass says how their numbers are distributed.

    Args:
        shape: of one input, such as [channels, height, width].
        batch_size: inputs in a batch.

    Raises:
        ValueError: a batch size or a length below 1.
    """

    reads_data = False

    def __init__(self, shape: int | Sequence[int], batch_size: int) -> None:
        kind = type(self).__name__
        require_counts(kind, batch_size=batch_size)
        self.shape = (shape,) if isinstance(shape, int) else tuple(shape)
        if not self.shape or min(self.shape) < 1:
            raise ValueError(f"{kind}: shape is {shape!r}; expected that of one input, such as [3, 32, 32]")
        self.batch_size = batch_size

    @abstractmethod
    def draw(self, shape: Sequence[int], generator: Generator) -> Tensor:
        """Numbers of this shape."""

    def batch(self, position: BatchPosition) -> Batch:
        drawn = self.draw((self.batch_size, *self.shape), position.random_generator("noise"))
        return Batch({DEFAULT_VIEW: position.part_of(drawn)})
