"""What a file does in its own runtime: its answers on the test set, the time of one item, the memory of one item."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from limbeck.export.base import Runner
from limbeck.verdict.measure import Latency, latency
from limbeck.verdict.statistics import Interval, interval

RUNS = 100


class Running(nn.Module):
    """A file's runner where a model is expected, so that the yardsticks for models measure files too."""

    def __init__(self, runner: Runner) -> None:
        super().__init__()
        self.runner = runner

    def forward(self, inputs: Tensor) -> Tensor:
        return self.runner(inputs)


def accuracy(logits: Tensor, target: Tensor) -> tuple[float, Interval]:
    """The share of right answers, and its 95 % interval over items."""
    return interval((logits.argmax(-1) == target).double()[None].numpy())


def latencies(models: Mapping[str, Runner | nn.Module], item: Tensor, *, runs: int = RUNS) -> dict[str, Latency]:
    """Milliseconds of one item on one thread; those in `models` take turns (A B A B …)."""
    modules = {name: Running(each) if isinstance(each, Runner) else each for name, each in models.items()}
    return latency(modules, item, runs=runs)


def largest_difference(logits: Tensor, reference: Tensor) -> float:
    return float((logits - reference).abs().max())


def tolerance(reference: Tensor, absolute: float) -> float:
    """How far float32 files may be from PyTorch: `absolute` on logits up to 1, and in proportion above, as rounding is."""
    return absolute * max(1.0, float(reference.abs().max()))


def random_item(shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
    """One random input: numbers in [0, 1]; where whole ones are read, zeros."""
    return torch.rand(1, *shape).to(dtype)
