"""Measures what it saves that a training process keeps the memory that it frees.

    OMP_NUM_THREADS=1 python -m benchmarks.real_sizes allocator

Processes with and without `keep_freed_memory` take turns. Each trains the same student; the figure is the median of the ratios
of processor time, system time included.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time

import torch

from benchmarks.bars import record
from benchmarks.real_sizes.timing import median_with_interval
from limbeck import models
from limbeck.core.actors import trained
from limbeck.core.terms import Term
from limbeck.data import Dataset, Items
from limbeck.engine import Optimizer, Run, Settings, Stage, Update, steps
from limbeck.objectives import HardTargets
from limbeck.utils.allocator import keep_freed_memory

TOPIC, COMMAND = "real-sizes", "OMP_NUM_THREADS=1 python -m benchmarks.real_sizes allocator"
TURNS, WARM, STEPS = 9, 3, 20


def seconds(*, keep: bool) -> float:
    """Processor time of a step, the median of several, of a ResNet-20 on batches of 128 images, in bfloat16."""
    if keep:
        keep_freed_memory()
    torch.manual_seed(0)
    items = Items.from_tensors(torch.rand(512, 3, 32, 32), torch.randint(10, (512,)), classes=10)
    student = trained(models.get("resnet_cifar", depth=20), channels_last=True)
    stage = Stage([Update([Term(HardTargets())])], steps(WARM + STEPS + 1), Optimizer("sgd", 0.1))
    settings = Settings(progress=False, device="cpu", threads=1, trackers=(), precision="bfloat16")
    run = Run({"student": student}, [stage], source=Dataset(items, 128, workers=0), settings=settings).advance(WARM)
    found = []
    for _ in range(STEPS):
        began = time.process_time()
        run.advance(1)
        found.append(time.process_time() - began)
    return statistics.median(found)


def arm(keep: bool) -> float:
    """The same in a process of its own."""
    given = [sys.executable, "-m", "benchmarks.real_sizes.allocator", "keep" if keep else "free"]
    return float(subprocess.run(given, check=True, capture_output=True, text=True, env=dict(os.environ)).stdout.split()[-1])


def main() -> None:
    pairs = [(arm(True), arm(False)) for _ in range(TURNS)]
    ratio, ends = median_with_interval([kept / freed for kept, freed in pairs])
    least = [1e3 * min(times) for times in zip(*pairs, strict=True)]
    note = f"{least[0]:.0f} ms against {least[1]:.0f} ms, the least of each"
    print(f"{ratio:.3f} [{ends[0]:.3f}, {ends[1]:.3f}]; {note}")
    record(
        TOPIC, "a training step on a CPU, freed memory kept ÷ given back, processor time", "< 1, interval below 1", ratio, ends,
        ends[1] < 1, COMMAND, f"ResNet-20 on 128 images of 32 × 32 pixels, bfloat16, one thread; {TURNS} pairs of processes",
        (0,), note,
    )  # fmt: skip


if __name__ == "__main__":
    print(seconds(keep=sys.argv[1:] == ["keep"]))
