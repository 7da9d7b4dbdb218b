"""Measures relational objectives against implementations that build their large tensors: time and peak memory of both passes.

`python -m benchmarks.relations` times both implementations in turns in one process, so that other load on the machine affects
both alike, and reports the median of the ratios with a bootstrap interval. Peak memory is what torch's profiler saw allocated
on the CPU above the level at the start (`profile_memory`, the running total of its `[memory]` events).
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from limbeck import objectives

COMMAND = "OMP_NUM_THREADS=1 python -m benchmarks.relations"
Loss = Callable[[Tensor, Tensor], Tensor]


def naive_rkd_angle(student: Tensor, teacher: Tensor) -> Tensor:
    """The usual form: all N×N differences of length D, normalised, and their products."""

    def angles(x: Tensor) -> Tensor:
        e = F.normalize(x[None] - x[:, None], dim=2)
        return torch.bmm(e, e.transpose(1, 2))

    loss: Tensor = F.smooth_l1_loss(angles(student), angles(teacher))
    return loss


def naive_neuron_selectivity(student: Tensor, teacher: Tensor) -> Tensor:
    """The usual form: every pair of channel maps multiplied position by position."""

    def kernel(x: Tensor, y: Tensor) -> Tensor:
        return (x[:, :, None] * y[:, None]).sum(-1).square().mean()

    s, t = (F.normalize(features.flatten(2), dim=2) for features in (student, teacher))
    return kernel(t, t) + kernel(s, s) - 2 * kernel(s, t)


@dataclass(frozen=True)
class Comparison:
    """Two forms of one objective on the same data, and what the lean one must reach."""

    name: str
    naive: Loss
    shape: tuple[int, ...]
    faster: float
    smaller: float | None
    rounds: int

    @property
    def data(self) -> str:
        return f"normal float32 {list(self.shape)}, forward and backward, one thread"

    def lean(self, student: Tensor, teacher: Tensor) -> Tensor:
        loss: Tensor = objectives.get(self.name)(student, teacher)
        return loss.mean()

    def inputs(self, seed: int = 0) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(seed)
        student, teacher = (torch.randn(self.shape, generator=generator) for _ in range(2))
        return student.requires_grad_(), teacher


COMPARISONS = (
    Comparison("rkd_angle", naive_rkd_angle, (128, 2048), faster=20, smaller=20, rounds=11),
    Comparison("neuron_selectivity", naive_neuron_selectivity, (16, 64, 32, 32), faster=10, smaller=None, rounds=11),
)


def step(loss: Loss, student: Tensor, teacher: Tensor) -> Tensor:
    """One forward and backward pass; the loss."""
    student.grad = None
    value = loss(student, teacher)
    value.backward()  # type: ignore[no-untyped-call]
    return value.detach()


def seconds(loss: Loss, student: Tensor, teacher: Tensor) -> float:
    start = time.perf_counter()
    step(loss, student, teacher)
    return time.perf_counter() - start


def peak_bytes(loss: Loss, student: Tensor, teacher: Tensor) -> int:
    """The most that was allocated at once, beyond what was allocated before."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        step(loss, student, teacher)
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder, "trace.json")
        recorded.export_chrome_trace(str(trace))
        events = [e for e in json.loads(trace.read_text())["traceEvents"] if e.get("name") == "[memory]"]
    events.sort(key=lambda event: event["ts"])
    level, peak = 0, 0
    for event in events:
        level += event["args"]["Bytes"]
        peak = max(peak, level)
    return peak


def bootstrap(ratios: list[float], draws: int = 10_000) -> tuple[float, tuple[float, float]]:
    """Median and its 95 % bootstrap interval."""
    values = np.array(ratios)
    medians = np.median(np.random.default_rng(0).choice(values, (draws, len(values))), axis=1)
    low, high = np.quantile(medians, [0.025, 0.975])
    return float(np.median(values)), (float(low), float(high))


def deviation(comparison: Comparison) -> tuple[float, float]:
    """How far the lean value is from the naive one, and from itself in float64; both relative."""
    student, teacher = comparison.inputs()
    with torch.no_grad():
        lean, naive = comparison.lean(student, teacher), comparison.naive(student, teacher)
        precise = comparison.lean(student.double(), teacher.double())
    return abs(float(lean / naive) - 1), abs(float(lean.double() / precise) - 1)


def time_ratio(comparison: Comparison) -> tuple[float, tuple[float, float]]:
    """How many times faster the lean form is, measured in turns."""
    student, teacher = comparison.inputs()
    for loss in (comparison.naive, comparison.lean):
        seconds(loss, student, teacher)
    ratios = [
        seconds(comparison.naive, student, teacher) / seconds(comparison.lean, student, teacher)
        for _ in range(comparison.rounds)
    ]
    return bootstrap(ratios)


def memory_ratio(comparison: Comparison) -> float:
    """The lean form's peak as a share of the naive one's."""
    student, teacher = comparison.inputs()
    return peak_bytes(comparison.lean, student, teacher) / peak_bytes(comparison.naive, student, teacher)


def measure(comparison: Comparison) -> None:
    from benchmarks.bars import record

    def row(figure: str, bar: str, value: float, ci95: tuple[float, float] | None, met: bool) -> None:
        figure = f"{comparison.name}: {figure}"
        record("main-job", figure, bar, value, ci95, met, COMMAND, comparison.data, [0])
        interval = "" if ci95 is None else f"[{ci95[0]:.1f}, {ci95[1]:.1f}]"
        print(f"{figure:58} {bar:10} {value:10.4g} {interval:16} {'met' if met else 'MISSED'}")

    faster, interval = time_ratio(comparison)
    row("times faster than the naive form", f"≥ {comparison.faster:g}", faster, interval, interval[0] >= comparison.faster)
    share = memory_ratio(comparison)
    bar = "≤ 1" if comparison.smaller is None else f"≤ 1/{comparison.smaller:g}"
    row("share of the naive form's peak memory", bar, share, None, share <= 1 / (comparison.smaller or 1))
    from_naive, from_double = deviation(comparison)
    row("relative deviation from the naive form", "≤ 1e-5", from_naive, None, from_naive <= 1e-5)
    row("relative deviation from float64", "≤ 1e-5", from_double, None, from_double <= 1e-5)


def main() -> None:
    torch.set_num_threads(1)
    for comparison in COMPARISONS:
        measure(comparison)


if __name__ == "__main__":
    main()
