"""Evaluation at 224 pixels against a plain loop, memory saved by gradient checkpointing, and losses of sharded weights.

Memory is that of a process of its own (`python -m benchmarks.real_sizes.evaluation NAME FOLDER`): the most that it held less
what it held before.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader

from benchmarks import bars
from benchmarks.real_sizes import data
from limbeck import models
from limbeck.core import Term, trained
from limbeck.data import Dataset, Items, load_items
from limbeck.engine import Optimizer, Run, Settings, Stage, Update, steps
from limbeck.objectives import HardTargets
from limbeck.tasks import Classification
from tests import ranks
from tests.engine import sharding_ranks_script

TOPIC, COMMAND = "real-sizes", "python -m benchmarks.real_sizes evaluation"
PHOTOGRAPHS, TURNS, STEPS = 128, 3, 3
LAYERS, WIDTH, TOKENS, BATCH = 12, 256, 128, 32


class PlainFolder(torch.utils.data.Dataset[Tensor]):
    """The centre square of each photograph at 224 pixels."""

    def __init__(self, root: Path) -> None:
        self.files = sorted(root.rglob("*.jpg"))

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, row: int) -> Tensor:
        image = Image.open(self.files[row]).convert("RGB")
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        size = (data.SIDE, data.SIDE)
        image = image.resize(size, Image.Resampling.BILINEAR, box=(left, top, left + side, top + side))
        return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous().float().div_(255)


def network() -> nn.Module:
    torch.manual_seed(0)
    return models.get("resnet_cifar", depth=8, classes=data.CLASSES).eval()


def by_hand(root: Path) -> Callable[[], object]:
    model, loader = network(), DataLoader(PlainFolder(root), data.BATCH)

    def evaluate() -> Tensor:
        with torch.no_grad():
            return torch.cat([model(images) for images in loader])

    return evaluate


def ours(root: Path) -> Callable[[], object]:
    model, items, task = network(), load_items(root, size=data.SIDE, memory_limit=0), Classification()
    return lambda: task.outputs(model, items, batch_size=data.BATCH, workers=0)


class Layers(nn.Module):
    """An encoder over vectors."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        layer = nn.TransformerEncoderLayer(WIDTH, 4, 4 * WIDTH, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=False)
        self.head = nn.Linear(WIDTH, data.CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(x).mean(1))


def training(*, checkpointed: bool) -> Callable[[], object]:
    items = Items.from_tensors(torch.randn(BATCH, TOKENS, WIDTH), torch.arange(BATCH) % data.CLASSES)
    stage = Stage([Update([Term(HardTargets())])], steps(STEPS), Optimizer("sgd", lr=0.01))
    settings = Settings(progress=False, device="cpu", trackers=(), gradient_checkpointing=checkpointed)
    return Run({"student": trained(Layers())}, [stage], source=Dataset(items, BATCH), settings=settings).fit


def prepared(name: str, root: Path) -> Callable[[], object]:
    if name == "ours":
        return ours(root)
    return by_hand(root) if name == "by hand" else training(checkpointed=name == "checkpointed")


def measure(name: str, root: Path) -> None:
    """In a process of its own: prints CPU seconds and bytes."""
    compute = prepared(name, root)
    held, began = data_resident(), time.process_time()
    compute()
    seconds = time.process_time() - began
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": seconds, "bytes": most - held}))


def data_resident() -> int:
    """Bytes that this process holds now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def in_process(name: str, root: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", __spec__.name, name, str(root)]
    environment = ranks.ENVIRONMENT | {"MALLOC_MMAP_THRESHOLD_": "1000000"}  # what is freed goes back to the system at once
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def put(figure: str, bar: float, values: list[float], where: str, note: str | None = None) -> None:
    median, ends = statistics.median(values), [min(values), max(values)]
    print(f"{figure}: {median:.3g} {ends}", flush=True)
    note = f"{'' if note is None else f'{note}; '}the interval is the range of {len(values)} turns"
    bars.record(TOPIC, figure, f"≤ {bar:g}", median, ends, median <= bar, COMMAND, where, len(values), note)


def evaluation(root: Path) -> None:
    """Both in one process without workers, in CPU time: what surrounds the model, whatever else the machine does."""
    load_items(root, size=data.SIDE)  # the index
    pairs = [(in_process("ours", root), in_process("by hand", root)) for _ in range(TURNS)]
    where = f"{PHOTOGRAPHS} synthetic JPEGs of 300 to 500 pixels at {data.SIDE} pixels, ResNet-8, batches of {data.BATCH}"
    for figure, key in (("time", "seconds"), ("memory", "bytes")):
        found = [mine[key] / hand[key] for mine, hand in pairs]
        put(f"evaluation at 224 pixels, {figure} ÷ a plain loop", 1.1, found, where, "one process, without workers")


def checkpointing(root: Path) -> None:
    where = f"encoder of {LAYERS} layers of width {WIDTH}, batches of {BATCH} × {TOKENS}, {STEPS} steps"
    pairs = [(in_process("checkpointed", root), in_process("plain", root)) for _ in range(TURNS)]
    for figure, key, bar in (("memory", "bytes", 0.5), ("time", "seconds", 1.4)):
        found = [saving[key] / plain[key] for saving, plain in pairs]
        put(f"{figure} of training with gradient checkpointing ÷ without", bar, found, where)


def sharded() -> None:
    with tempfile.TemporaryDirectory() as place:
        for count in (1, 2):
            ranks.run(count, sharding_ranks_script.__name__, Path(place) / str(count))
        one, two = (json.loads((Path(place) / name / "values.json").read_text()) for name in "12")
    worst = max(abs(mine[name] - theirs[name]) for mine, theirs in zip(one, two, strict=True) for name in mine)
    print(f"two ranks with weights in shards against one, largest difference of a loss: {worst:.2g}")
    bars.record(
        TOPIC,
        "two ranks with weights in shards against one, largest difference of a loss",
        "≤ 1e-4",
        worst,
        None,
        worst <= 1e-4,
        COMMAND,
        f"Transformer with BatchNorm, {len(one)} steps of AdamW on labels, logits, hidden states and a snapshot, gloo",
        [0],
        "student, teacher, average and snapshot in shards, with gradient checkpointing, in pieces, clipped, resumed once",
    )


def main() -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "photographs"
        data.write_folder(root, PHOTOGRAPHS, PHOTOGRAPHS)
        evaluation(root)
        checkpointing(root)
    sharded()


if __name__ == "__main__":
    torch.set_num_threads(1)
    measure(sys.argv[1], Path(sys.argv[2]))
