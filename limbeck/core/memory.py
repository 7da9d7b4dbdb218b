"""State that outlives a step and belongs in the checkpoint."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from limbeck.utils.distributed import all_gather_rows
from limbeck.utils.finite import require_finite


class Memory(nn.Module):
    """Base class of memories: a module with buffers, which is moved, saved and resumed with its owner."""


class PerSampleTable(Memory):
    """One row for each item of the data set, such as predictions, scores or features of an earlier epoch.

    Args:
        samples: number of items.
        width: length of a row.
        fill: value of rows that were never written.
    """

    rows: Tensor
    written: Tensor

    def __init__(self, samples: int, width: int, *, fill: float = 0.0) -> None:
        super().__init__()
        require_finite("PerSampleTable", {"fill": fill})
        self.register_buffer("rows", torch.full((samples, width), fill))
        self.register_buffer("written", torch.zeros(samples, dtype=torch.bool))

    def read(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """The rows `[batch, width]` of these items, and which of them have been written `[batch]`."""
        return self.rows[index], self.written[index]

    @torch.no_grad()
    def write(self, index: Tensor, rows: Tensor) -> None:
        """Store these rows; all processes store the rows of all."""
        index, rows = all_gather_rows(index), all_gather_rows(rows.detach().to(self.rows.dtype))
        self.rows[index] = rows
        self.written[index] = True


class Queue(Memory):
    """First-in, first-out queue of the last `length` rows (MoCo, 1911.05722)."""

    rows: Tensor
    filled: Tensor
    position: Tensor

    def __init__(self, length: int, width: int) -> None:
        super().__init__()
        self.register_buffer("rows", torch.zeros(length, width))
        self.register_buffer("filled", torch.zeros((), dtype=torch.long))
        self.register_buffer("position", torch.zeros((), dtype=torch.long))

    def contents(self) -> Tensor:
        """The rows in the queue, `[at most length, width]`."""
        return self.rows[: int(self.filled)]

    @torch.no_grad()
    def put(self, rows: Tensor) -> None:
        """Add the rows `[batch, width]` of all processes in place of the oldest."""
        rows = all_gather_rows(rows.detach().to(self.rows.dtype))[-len(self.rows) :]
        slots = (self.position + torch.arange(len(rows), device=rows.device)) % len(self.rows)
        self.rows[slots] = rows
        self.position.copy_((self.position + len(rows)) % len(self.rows))
        self.filled.copy_(torch.clamp(self.filled + len(rows), max=len(self.rows)))


class CountedGenerator(nn.Module):
    """Random generators that a resumed run repeats bit for bit: each is seeded with a count that is part of the state dict.

    The count is a Python number, not a buffer: reading a buffer on a GPU at every step would synchronise with the device.
    """

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.seed = seed
        self.count = 0

    def next(self, device: torch.device) -> torch.Generator:
        """The generator of the next draw; in evaluation mode the count does not advance, so draws repeat."""
        generator = torch.Generator(device=device)
        generator.manual_seed(self.seed + self.count)
        self.count += int(self.training)
        return generator

    def get_extra_state(self) -> Tensor:
        return torch.tensor(self.count)

    def set_extra_state(self, state: Tensor) -> None:
        self.count = int(state)
