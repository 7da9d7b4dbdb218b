"""What the checks of data and labels cost before a training, for many images in memory, beside one epoch of a small student.

python -m benchmarks.faults checks
"""

from __future__ import annotations

import statistics
import time

import torch
from torch import Tensor

from benchmarks.bars import record
from limbeck import Distillation, Term, Training, epochs, models
from limbeck.data import Items
from limbeck.engine import Settings
from limbeck.objectives import SoftTargets

IMAGES, SEEDS, BAR = 50_000, 5, 0.1


def images(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Random images of the size of the demo's, no two alike, and labels."""
    draw = torch.Generator().manual_seed(seed)
    return torch.rand(count, 1, 8, 8, generator=draw), torch.randint(0, 10, (count,), generator=draw)


def job() -> Distillation:
    """The demo's teacher and student for one epoch."""
    training = Training(
        length=epochs(1), batch_size=64, settings=Settings(device="cpu", threads=1, trackers=(), progress=False)
    )
    teacher = models.get("tiny_cnn", classes=10, width=64, size=8).eval()
    return Distillation(
        lambda: models.get("tiny_cnn", classes=10, width=8, size=8),
        teacher,
        terms=[Term(SoftTargets(temperature=4))],
        training=training,
        control=False,
    )


def seconds_of_checks() -> float:
    """Of items made of tensors, with their keys and the checks of their values, and of all checks before a training."""
    train, test = images(IMAGES, 0), images(1000, 1)
    began = time.process_time()
    items, tested = Items.from_tensors(*train), Items.from_tensors(*test)
    job().check(items, test=tested)
    return time.process_time() - began


def seconds_of_epoch() -> float:
    """Of one epoch of the student."""
    items, made = Items.from_tensors(*images(IMAGES, 0)), job()
    began = time.process_time()
    made.fit(items)
    return time.process_time() - began


def measure(*, dry: bool) -> None:
    torch.set_num_threads(1)
    seconds_of_checks()  # imports
    checks = [seconds_of_checks() for _ in range(SEEDS)]
    epoch = min(seconds_of_epoch() for _ in range(2))
    ratios = sorted(each / epoch for each in checks)
    print(f"checks {statistics.median(checks):.3f} s, one epoch {epoch:.2f} s: {statistics.median(ratios):.3f}")
    if not dry:
        figure = f"checks of data and labels, {IMAGES:,} images in memory ÷ one epoch of the demo's student"
        note = f"{statistics.median(checks):.2f} s and {epoch:.1f} s; range of {SEEDS}; keys of all items included"
        value, ends = statistics.median(ratios), [ratios[0], ratios[-1]]
        command, data = "python -m benchmarks.faults checks", "images of 1×8×8 float32, one thread"
        record("faults", figure, f"≤ {BAR}", value, ends, value <= BAR, command, data, 1, note)
