"""Measures a student and its teacher, ResNet-8 and ResNet-56, in ONNX Runtime and ExecuTorch, in float32 and int8.

    LIMBECK_DATA=FOLDER python -m benchmarks.exports          # measure and record
    LIMBECK_DATA=FOLDER python -m benchmarks.exports --dry    # measure and print; --items 500 evaluates on fewer images

The student is the one in benchmarks/results/cifar10-resnet8. Run it while nothing else runs: it measures milliseconds.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from rich.console import Console

from benchmarks.bars import record
from limbeck import models
from limbeck.data import Items, evaluation_batches, load_items
from limbeck.evaluation import Export
from limbeck.export import PYTORCH, export_models, exports_table, formats, remarks
from limbeck.export.check import largest_difference
from limbeck.export.measure import RunnerModule
from limbeck.tasks import Classification

STUDENT = Path(__file__).parent / "results" / "cifar10-resnet8" / "student"
FORMATS, PRECISIONS = ("onnx", "executorch"), ("fp32", "int8")
TITLES = {"onnx": "ONNX Runtime", "executorch": "ExecuTorch"}
COMMAND = "python -m benchmarks.exports"
DATA = "cifar10, ResNet-56 → ResNet-8, one thread"
CHECKED = 500  # test items on which the timed exports are compared with PyTorch
Row = tuple[str, str, float, tuple[float, float] | None, bool]
Records = dict[tuple[str, str, str], Export]


def rows(found: Records, seconds: float) -> Iterator[Row]:
    """Figure, bar, value, interval, met."""
    for kind in FORMATS:
        for precision in PRECISIONS:
            times = [found[model, kind, precision].latency_ms for model in ("teacher", "student")]
            assert times[0] is not None
            assert times[1] is not None
            ratio = times[0].median / times[1].median
            yield f"{TITLES[kind]} {precision}: teacher's latency ÷ student's", "≥ 5", ratio, None, ratio >= 5
    for kind in FORMATS:
        full, small = (found["student", kind, precision] for precision in PRECISIONS)
        assert full.metric is not None
        assert small.metric is not None
        lost = 100 * (full.metric - small.metric)
        yield f"{TITLES[kind]}: points that int8 loses of the student's accuracy", "≤ 0.5", lost, None, lost <= 0.5
        share = _size(found["student", kind, "int8"]) / _size(found["teacher", kind, "fp32"])
        yield f"{TITLES[kind]}: int8 student's file ÷ fp32 teacher's", "≤ 1/35", share, None, share <= 1 / 35
        apart = max(_apart(found[model, kind, "fp32"]) for model in ("student", "teacher"))
        yield f"{TITLES[kind]} fp32: largest difference to PyTorch", "≤ 1e-4", apart, None, apart <= 1e-4
    ours, theirs = found["student", "executorch", "int8"], found["teacher", PYTORCH, "fp32"]
    assert ours.peak_memory_bytes
    assert theirs.peak_memory_bytes
    share = ours.peak_memory_bytes / theirs.peak_memory_bytes
    yield "inference memory, int8 student in ExecuTorch ÷ teacher in PyTorch", "≤ 1/10", share, None, share <= 0.1
    title = "export and check of one student, both formats, both precisions, seconds"
    yield title, "≤ 60", seconds, None, seconds <= 60


def export_and_check(train: Items, test: Items) -> float:
    """Seconds to write the student's four files, open them and compare their outputs with PyTorch's, imports included."""
    task, few = Classification(), test.select(torch.arange(min(CHECKED, len(test))))
    began = time.perf_counter()
    model = models.load_model(STUDENT)
    expected = task.outputs(model, few)
    inputs = [batch.inputs["default"] for batch in evaluation_batches(train.select(torch.arange(512)), 64)]
    with tempfile.TemporaryDirectory() as folder:
        for name in FORMATS:
            kind = formats.get(name)
            for precision in PRECISIONS:
                path = Path(folder) / f"student-{precision}{kind.suffix}"
                kind.write(model, path, inputs[0], precision=precision, calibration=inputs)
                largest_difference(task.outputs(RunnerModule(kind.open(path)), few), expected)
    return time.perf_counter() - began


def _size(export: Export) -> int:
    assert export.bytes is not None
    return export.bytes


def _apart(export: Export) -> float:
    assert export.max_abs_diff is not None
    return export.max_abs_diff


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dry", action="store_true", help="print, record nothing")
    parser.add_argument("--items", type=int, help="judge on the first so many test items; nothing is recorded")
    args = parser.parse_args()
    if "LIMBECK_DATA" not in os.environ:
        raise SystemExit("left out: LIMBECK_DATA is not set")
    root, console = Path(os.environ["LIMBECK_DATA"]), Console()
    train, test = (load_items(root / "data" / "cifar10" / f"{part}.parquet") for part in ("train", "test"))
    test = test if args.items is None else test.select(torch.arange(min(args.items, len(test))))
    teacher = models.get("resnet_cifar", depth=56)
    models.load_weights(teacher, root / "teachers" / "resnet56-cifar10.safetensors")
    seconds = export_and_check(train, test)  # first, so that its time includes the imports
    with tempfile.TemporaryDirectory() as folder:
        pair = {"student": models.load_model(STUDENT), "teacher": teacher.eval()}
        made = export_models(pair, train, test, Path(folder), into=FORMATS, precisions=PRECISIONS, console=console)
    console.print(exports_table(made))
    for line in remarks(made):
        console.print(line, markup=False)
    for figure, bar, value, ci95, met in rows({(each.model, each.format, each.precision): each for each in made}, seconds):
        console.print(f"{figure}: {value:.4g} ({bar}) {'met' if met else 'NOT MET'}", markup=False, highlight=False)
        if not args.dry and args.items is None:
            record("proof", figure, bar, value, ci95, met, COMMAND, f"{DATA}, {len(test):,} test images", 1)


if __name__ == "__main__":
    main()
