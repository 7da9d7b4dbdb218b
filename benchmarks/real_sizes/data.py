"""Folders of photographs: training items per second, the start of a run on 100,000 files, and its memory.

Photographs are synthetic JPEGs of 300 to 500 pixels a side: noise of several scales, so that they compress like real ones.
"""

from __future__ import annotations

import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader

from benchmarks import bars
from limbeck.core import Term, trained
from limbeck.data import Dataset, load_items
from limbeck.data.image import Pipeline
from limbeck.engine import Optimizer, Run, Settings, Stage, Update, epochs
from limbeck.objectives import HardTargets

TOPIC = "real-sizes"
SIDE, BATCH, CLASSES = 224, 32, 10
PHOTOGRAPHS, EPOCHS, TURNS = 960, 4, 5
FILES, DISTINCT = 100_000, 500
VIEW = ["random_resized_crop", "horizontal_flip"]


def photograph(random: np.random.Generator) -> bytes:
    """One JPEG."""
    height, width = (int(side) for side in random.integers(300, 501, 2))
    layers = [
        np.asarray(Image.fromarray(random.integers(0, 256, (side, side, 3), dtype=np.uint8)).resize((width, height)), float)
        for side in (4, 16, 64, 128)
    ]
    pixels = np.average(layers, axis=0, weights=[8, 4, 2, 1])
    buffer = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def write_folder(root: Path, count: int, distinct: int) -> float:
    """Files in one folder a class, of which those above `distinct` repeat others with a few bytes behind the end.

    Returns the mean size of a file in bytes.
    """
    random = np.random.default_rng(0)
    contents = [photograph(random) for _ in range(distinct)]
    for label in range(CLASSES):
        (root / f"class{label}").mkdir(parents=True)
    for row in range(count):
        content = contents[row % distinct] + (b"" if row < distinct else f"{row:012d}".encode())
        (root / f"class{row % CLASSES}" / f"{row:06d}.jpg").write_bytes(content)
    return statistics.mean(map(len, contents))


class PlainFolder(torch.utils.data.Dataset[tuple[Tensor, int]]):
    """What is usually written: open, crop a random box, resize, flip, divide by 255."""

    def __init__(self, root: Path) -> None:
        self.files = sorted(root.rglob("*.jpg"))
        self.labels = [int(file.parent.name.removeprefix("class")) for file in self.files]

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        image = Image.open(self.files[row]).convert("RGB")
        left, top, right, bottom = self._box(*image.size)
        image = image.resize((SIDE, SIDE), Image.Resampling.BILINEAR, box=(left, top, right, bottom))
        if torch.rand(()) < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous().float().div_(255), self.labels[row]

    @staticmethod
    def _box(width: int, height: int) -> tuple[int, int, int, int]:
        for _ in range(10):
            area = width * height * float(torch.empty(()).uniform_(0.08, 1.0))
            ratio = float(torch.empty(()).uniform_(np.log(3 / 4), np.log(4 / 3)).exp())
            box_width, box_height = round((area * ratio) ** 0.5), round((area / ratio) ** 0.5)
            if 0 < box_width <= width and 0 < box_height <= height:
                left = int(torch.randint(width - box_width + 1, ()))
                top = int(torch.randint(height - box_height + 1, ()))
                return left, top, left + box_width, top + box_height
        return 0, 0, width, height


def small_network() -> nn.Module:
    """Fast enough that the data are what a step waits for."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 16, 8, stride=8), nn.ReLU(), nn.Conv2d(16, 32, 4, stride=4), nn.ReLU(), nn.Flatten(),
        nn.Linear(32 * 7 * 7, CLASSES),
    )  # fmt: skip


def plain_training(root: Path, workers: int) -> float:
    """Items per second by hand, the start of the workers included."""
    model = small_network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    loader = DataLoader(
        PlainFolder(root), BATCH, shuffle=True, num_workers=workers, drop_last=True, persistent_workers=workers > 0
    )
    began = time.perf_counter()
    for _ in range(EPOCHS):
        for images, labels in loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images), labels).backward()
            optimizer.step()
    return EPOCHS * PHOTOGRAPHS / (time.perf_counter() - began)


def our_training(root: Path, workers: int | None) -> float:
    """Items per second of a run, all that it does before its first step included."""
    items = load_items(root, size=SIDE, memory_limit=0)
    source = Dataset(items, BATCH, {"default": Pipeline.from_spec(VIEW)}, workers=workers)
    stage = Stage([Update([Term(HardTargets())])], epochs(EPOCHS), Optimizer("sgd", lr=0.01))
    run = Run({"student": trained(small_network())}, [stage], source=source, settings=Settings(progress=False))
    began = time.perf_counter()
    run.fit()
    return EPOCHS * PHOTOGRAPHS / (time.perf_counter() - began)


def throughput(root: Path) -> None:
    """Alternating trainings; the plain loader with the number of workers that is best for it."""
    torch.set_num_threads(1)
    load_items(root, size=SIDE)  # the index
    found: dict[int, list[float]] = {0: [], 1: [], 2: []}
    ours: dict[str, list[float]] = {"": [], ", two worker processes each": []}
    for _ in range(TURNS):
        for workers, rates in found.items():
            rates.append(plain_training(root, workers))
        for (_, rates), given in zip(ours.items(), (None, 2), strict=True):
            rates.append(our_training(root, given))
    medians = {workers: statistics.median(rates) for workers, rates in found.items()}
    best = max(medians, key=lambda workers: medians[workers])
    print(f"by hand {medians}, ours {ours} items/s")
    for (name, rates), rival, bar in zip(ours.items(), (best, 2), (0.97, None), strict=True):
        ratios = [one / other for one, other in zip(rates, found[rival], strict=True)]
        middle = statistics.median(ratios)
        bars.record(
            TOPIC, f"folder of JPEGs: training items per second ÷ {'a' if name else 'the best'} plain DataLoader{name}",
            "no goal" if bar is None else f"≥ {bar}", middle, [min(ratios), max(ratios)], bar is None or middle >= bar,
            "OMP_NUM_THREADS=1 python -m benchmarks.real_sizes data",
            f"{PHOTOGRAPHS} synthetic JPEGs of 300 to 500 pixels, {SIDE} after crops, batches of {BATCH}, {EPOCHS} epochs",
            TURNS, f"the interval is the range of {TURNS} turns"
            + ("" if name else f"; threads decode here, and {best} workers are the best of 0, 1 and 2 for the plain loader"),
        )  # fmt: skip


def start(root: Path, cache: Path) -> dict[str, Any]:
    """Seconds and bytes of one start in a fresh process, whose imports are not counted."""
    command = [sys.executable, "-m", "benchmarks.real_sizes.start", str(root)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, "LIMBECK_CACHE": str(cache)})
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def starts(place: Path) -> None:
    """The first and the second start on many files."""
    size = write_folder(place / "many", FILES, DISTINCT)
    first = start(place / "many", place / "cache")
    later = [start(place / "many", place / "cache") for _ in range(3)]
    second = statistics.median(one["seconds"] for one in later)
    memory = max(one["bytes"] for one in later) / 1e6
    print(first, later)
    data = f"{FILES:,} JPEGs of {size / 1000:.0f} kB on average, up to the first batch"
    command = "python -m benchmarks.real_sizes data"
    for name, bar, value, seeds in (("first", 60, first["seconds"], 1), ("second", 2, second, 3)):
        bars.record(
            TOPIC, f"{name} start on 100,000 files, s", f"≤ {bar}", value, None, value <= bar, command, data, seeds
        )  # fmt: skip
    bars.record(
        TOPIC, "memory of 100,000 files beside the cache of decoded images, MB", "≤ 500", memory, None, memory <= 500, command,
        f"{FILES:,} JPEGs, 100 batches of {BATCH} at {SIDE} pixels; the process that trains, without what its imports hold", 3,
    )  # fmt: skip


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "photographs"
        write_folder(root, PHOTOGRAPHS, PHOTOGRAPHS)
        throughput(root)
        starts(Path(folder))


if __name__ == "__main__":
    main()
