"""Random draws that a resumed run repeats bit for bit."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class CountedGenerator(nn.Module):
    """Counts its draws and seeds a generator with the count, which travels in the state dict.

    The count is a Python number, not a buffer: reading a buffer on a GPU at every step would wait for the device.
    """

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.seed = seed
        self.count = 0

    def next(self, device: torch.device) -> torch.Generator:
        """A generator for the next draw; in evaluation mode the count stands still, so that draws repeat."""
        generator = torch.Generator(device=device)
        generator.manual_seed(self.seed + self.count)
        self.count += int(self.training)
        return generator

    def get_extra_state(self) -> Tensor:
        return torch.tensor(self.count)

    def set_extra_state(self, state: Tensor) -> None:
        self.count = int(state)
