"""The interface of whatever yields batches."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from limbeck.core.batch import Batch


@dataclass(frozen=True)
class BatchPosition:
    """Identifies one piece of one global batch.

    A source computes a batch from (seed, position) alone, so the items do not depend on the number of processes, on workers,
    or on where a run was resumed.

    Attributes:
        step: step of the stage, from 0.
        seed: seed of the run.
        part: the piece wanted, from 0.
        parts: pieces of equal size that the global batch is cut into, one for each (accumulation step, process).
    """

    step: int
    seed: int = 0
    part: int = 0
    parts: int = 1

    def part_of(self, rows: Tensor) -> Tensor:
        """This part of the rows of a global batch.

        Raises:
            ValueError: rows that do not divide into equal parts.
        """
        if len(rows) % self.parts:
            raise ValueError(
                f"a batch of {len(rows)} items cannot be cut into {self.parts} equal parts (processes × accumulation steps); "
                f"make batch_size a multiple of {self.parts}"
            )
        size = len(rows) // self.parts
        return rows[self.part * size : (self.part + 1) * size]

    def random_generator(self, stream: str) -> torch.Generator:
        """A generator seeded by (seed, step, stream); it is the same for all parts of a global batch."""
        text = f"{self.seed}/{self.step}/{stream}".encode()
        seed = int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little") >> 1
        return torch.Generator().manual_seed(seed)


class Source(ABC):
    """Base class of everything that yields batches.

    `batch(position)` is a pure function of the position and of the source's own state.

    Attributes:
        samples: items in the underlying data set; None if there is none.
        steps_per_epoch: steps of one pass over the data set; None if there is none.
        generator: name of the actor that turns this source's batches into inputs; None if the batches are the inputs.
    """

    samples: int | None = None
    steps_per_epoch: int | None = None
    generator: str | None = None

    def bind(self, models: Mapping[str, nn.Module]) -> None:  # noqa: B027  most sources need no model
        """Called once by the run with all models by name, for sources that run one of them."""

    @abstractmethod
    def batch(self, position: BatchPosition) -> Batch:
        """The batch at this position."""
