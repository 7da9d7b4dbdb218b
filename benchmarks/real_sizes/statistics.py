"""Rankings and intervals at real sizes: 10,000 classes, 50,000 test items, 10 arms.

Each measurement runs in a process of its own (`python -m benchmarks.real_sizes.statistics NAME`), which prints its CPU time and
the most memory that it held, its imports and its data included.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from benchmarks import bars
from limbeck.data import Items
from limbeck.evaluation import Predictions, build_verdict, save_predictions
from limbeck.evaluation.comparison import rank_ranges
from limbeck.evaluation.report.classes import classes
from limbeck.evaluation.report.page import write_page
from limbeck.evaluation.statistics import interval
from limbeck.metrics import METRICS, Records
from limbeck.tasks import Classification

TOPIC, COMMAND = "real-sizes", "python -m benchmarks.real_sizes statistics"
ITEMS, CLASSES, ARMS, TURNS = 50_000, 10_000, 10, 5


def by_class(metric: str) -> Callable[[], object]:
    """The ranking of arms by a metric that reads the classes of the items."""
    random = np.random.default_rng(0)
    labels = random.integers(CLASSES, size=ITEMS)
    arms = {}
    for arm in range(ARMS):
        right = random.random(ITEMS) < 0.5 + 0.01 * arm
        predicted = np.where(right, labels, random.integers(CLASSES, size=ITEMS))
        counted = {"predicted": predicted[None], "label": labels[None], "classes": np.full((1, ITEMS), CLASSES)}
        arms[str(arm)] = Records(counted)
    return lambda: rank_ranges(arms, value=METRICS[metric])


def accuracy() -> Callable[[], object]:
    random = np.random.default_rng(0)
    arms = {str(arm): (random.random((1, ITEMS)) < 0.5 + 0.01 * arm).astype(float) for arm in range(ARMS)}
    return lambda: rank_ranges(arms)


def methods() -> Callable[[], object]:
    """200 methods of 3 seeds each, of which every item differs."""
    random = np.random.default_rng(0)
    arms = {str(arm): (random.random((3, ITEMS)) < 0.5 + 0.001 * arm).astype(float) for arm in range(200)}
    return lambda: rank_ranges(arms)


def squared_errors() -> Callable[[], object]:
    errors = np.random.default_rng(0).normal(size=(3, ITEMS)) ** 2
    return lambda: interval(errors)


def report() -> Callable[[], object]:
    """The table of all classes in the report, of a teacher, a control and a student."""
    random = np.random.default_rng(0)
    labels = np.arange(CLASSES) % CLASSES
    arms = {}
    for arm in ("teacher", "control", "student"):
        logits = random.normal(size=(1, CLASSES, CLASSES)).astype(np.float32)
        logits[0, np.arange(CLASSES), labels] += 4
        arms[arm] = Predictions(logits=logits, labels=labels)
    names = [f"class {number}" for number in range(CLASSES)]
    verdict = build_verdict(arms, name="classes", task="classification", seeds=[0], classes=names)
    place = Path(tempfile.mkdtemp()) / "report.html"
    return lambda: write_page(place, "classes", "", [classes(verdict)], "verdict.json")


def predictions() -> Callable[[], object]:
    """From the outputs of a teacher, and of control and student of 3 seeds each, to the verdict and the file of predictions."""
    task, seeds = Classification(), range(3)
    outputs, target = torch.randn(ITEMS, CLASSES), torch.randint(CLASSES, (ITEMS,))
    items = Items.from_tensors(torch.zeros(ITEMS, 1), target, classes=CLASSES)

    def of_models(count: int) -> Iterator[torch.Tensor]:
        for _ in range(count):
            outputs[torch.arange(ITEMS), target] += torch.rand(ITEMS)
            yield outputs

    def judge() -> None:
        models = {"control": len(seeds), "student": len(seeds), "teacher": 1}
        arms = {arm: Predictions.of(task, of_models(count), items) for arm, count in models.items()}
        build_verdict(arms, name="classes", task="classification", seeds=seeds)
        with tempfile.TemporaryDirectory() as folder:
            save_predictions(arms, Path(folder))

    return judge


WHERE = f"{ARMS} arms, {ITEMS:,} items"
MEASURED: dict[str, tuple[Callable[[], Callable[[], object]], str, float, str]] = {
    "f1": (lambda: by_class("f1"), "ranking by F1", 10, f"{WHERE}, {CLASSES:,} classes"),
    "matthews": (lambda: by_class("matthews"), "ranking by Matthews' correlation", 10, f"{WHERE}, {CLASSES:,} classes"),
    "accuracy": (accuracy, "ranking by accuracy", 10, WHERE),
    "methods": (methods, "ranking of 200 methods × 3 seeds", 22, f"{ITEMS:,} items; 22 s and 1.2 GB before"),
    "mse": (squared_errors, "interval of a mean squared error, 10,000 resamples", 1, f"{ITEMS:,} items × 3 seeds"),
    "predictions": (predictions, "outputs of seven models to their verdict", 60, f"{ITEMS:,} items, {CLASSES:,} classes"),
    "report": (report, "table of all classes in the report", 10, f"3 arms, {CLASSES:,} classes"),
}
MEMORY = {"f1": 1.0, "matthews": 1.0, "accuracy": 1.0, "methods": 1.2, "predictions": 4.0}  # GB


def measure(name: str) -> None:
    """In a process of its own: prints CPU seconds and bytes."""
    compute = MEASURED[name][0]()
    began = time.process_time()
    compute()
    seconds = time.process_time() - began
    print(json.dumps({"seconds": seconds, "bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))


def main(*names: str) -> None:
    for name in names or MEASURED:
        _, figure, bar, data = MEASURED[name]
        turns = []
        for _ in range(TURNS):
            done = subprocess.run([sys.executable, "-m", __spec__.name, name], check=True, capture_output=True, text=True)
            turns.append(json.loads(done.stdout.splitlines()[-1]))
        seconds = [turn["seconds"] for turn in turns]
        memory = max(turn["bytes"] for turn in turns) / 1e9
        print(f"{figure}: {statistics.median(seconds):.2f} s, {memory:.2f} GB")
        median, ends = statistics.median(seconds), [min(seconds), max(seconds)]
        note = f"CPU time; the interval is the range of {TURNS} processes"
        bars.record(TOPIC, f"{figure}, s", f"≤ {bar:g}", median, ends, median <= bar, COMMAND, data, TURNS, note)
        if name in MEMORY:
            most = MEMORY[name]
            note = "resident memory of the process, imports and data included"
            bars.record(TOPIC, f"{figure}, GB", f"≤ {most:g}", memory, None, memory <= most, COMMAND, data, TURNS, note)


if __name__ == "__main__":
    measure(sys.argv[1])
