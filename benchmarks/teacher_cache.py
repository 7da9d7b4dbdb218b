"""Measures what the teacher cache saves: an epoch with cached outputs, against plain training and against the live teacher.

    python -m benchmarks.teacher_cache [epoch] [students] [build]      # needs LIMBECK_DATA

ResNet-56 → ResNet-8 on CIFAR-10 images, one thread, bfloat16, random crops and flips, eight views, through the engine.

epoch     the three kinds of training take turns, 40 steps at a time; the medians of their steps are compared
students  three students one after the other, the build of the cache included, against three with the live teacher
build     building the cache against bare inference of the teacher over the same views
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.bars import record
from limbeck.core.actors import Actor, frozen, trained
from limbeck.core.batch import Batch
from limbeck.core.model_io import as_channels_last
from limbeck.core.source import BatchPosition
from limbeck.core.terms import Term
from limbeck.data import Dataset, Items, Pipeline, load_items
from limbeck.engine import Optimizer, Run, Settings, Stage, Update, steps
from limbeck.methods import hinton
from limbeck.models import get, load_weights
from limbeck.objectives import HardTargets
from limbeck.teacher_cache import CacheConfig, TeacherQuery, choose_codecs, fill_cache, open_cache

VIEWS: list[str | Mapping[str, Any]] = [{"random_crop": {"padding": 4}}, "horizontal_flip"]
COUNT, BATCH, EPOCHS = 8, 128, 15
COMMAND = "OMP_NUM_THREADS=1 python -m benchmarks.teacher_cache"
DATA = "cifar10, ResNet-56 → ResNet-8, bfloat16, one thread, batches of 128, 8 views"
SETTINGS = Settings(precision="bfloat16", progress=False, device="cpu", threads=1, trackers=())


class Timed(Dataset):
    """A data set that records the time of each request for a batch."""

    moments: list[float]

    def batch(self, place: BatchPosition) -> Batch:
        self.moments.append(time.perf_counter())
        return super().batch(place)


def source(items: Items) -> Timed:
    found = Timed(items, BATCH, {"default": Pipeline.from_spec(VIEWS)}, view_count=COUNT, view_seed=0)
    found.moments = []
    return found


def items(count: int) -> Items:
    everything = load_items(f"{os.environ['LIMBECK_DATA']}/data/cifar10/train.parquet")
    return everything.select(torch.arange(count))


def teacher() -> nn.Module:
    model = get("resnet_cifar", depth=56)
    load_weights(model, f"{os.environ['LIMBECK_DATA']}/teachers/resnet56-cifar10.safetensors")
    return model.eval()


def teacher_query(model: nn.Module, some: Items) -> TeacherQuery:
    return TeacherQuery(frozen(model, channels_last=True), source(some), ["logits"], VIEWS, torch.bfloat16)


def train(some: Items, count: int, seed: int, actor: Actor | None) -> list[float]:
    """Seconds of each step of `count`, of a student that learns from labels only or from this teacher."""
    torch.manual_seed(seed)
    data = source(some)
    actors = {"student": trained(get("resnet_cifar", depth=8))} | ({} if actor is None else {"teacher": actor})
    terms = [Term(HardTargets())] if actor is None else hinton()
    optimizer = Optimizer("sgd", lr=0.1, options={"momentum": 0.9, "nesterov": True, "weight_decay": 5e-4})
    Run(actors, [Stage([Update(terms)], steps(count), optimizer)], source=data, seed=seed, settings=SETTINGS).fit()
    moments = [*data.moments, time.perf_counter()]
    return [after - before for before, after in itertools.pairwise(moments)]


def bare(data: Timed, count: int, seed: int, model: nn.Module | None) -> list[float]:
    """Seconds of each step of a loop written by hand on the same batches: the lower limit for the engine."""
    torch.manual_seed(seed)
    student = get("resnet_cifar", depth=8).train()
    options: dict[str, Any] = {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 5e-4}
    optimizer, seconds = torch.optim.SGD(student.parameters(), **options), []
    for number in range(count):
        began = time.perf_counter()
        batch = data.batch(BatchPosition(number, seed))
        images = batch.inputs["default"]
        with torch.autocast("cpu", torch.bfloat16):
            logits = student(images)
            with torch.no_grad():
                teacher_logits = None if model is None else model(as_channels_last(images))
        loss = nn.functional.cross_entropy(logits.float(), batch.target)
        if teacher_logits is not None:
            soft = [nn.functional.log_softmax(side.float() / 4, -1) for side in (logits, teacher_logits)]
            divergence = nn.functional.kl_div(*soft, reduction="batchmean", log_target=True)
            loss = 0.1 * loss + 0.9 * 16 * divergence
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        seconds.append(time.perf_counter() - began)
    return seconds


def epoch(some: Items, model: nn.Module, folder: Path) -> None:
    query = teacher_query(model, some)
    codecs = choose_codecs(query, CacheConfig())
    fill_cache(query, folder, codecs, lambda done, total: None)
    by_hand = frozen(model, channels_last=True).model
    seconds: dict[str, list[float]] = {"plain": [], "store": [], "live": [], "bare plain": [], "bare live": []}
    with open_cache(query, CacheConfig(strict=True), folder, codecs) as cache:
        for turn in range(6):
            for kind in seconds:
                if kind.startswith("bare"):
                    seconds[kind] += bare(source(some), 40, turn, by_hand if kind.endswith("live") else None)[4:]
                    continue
                actor = {"plain": None, "live": frozen(model, channels_last=True)}.get(kind)
                actor = frozen(model, channels_last=True, cache=cache) if kind == "store" else actor
                seconds[kind] += train(some, 40, turn, actor)[4:]  # the first ones warm caches
    step = {kind: statistics.median(found) for kind, found in seconds.items()}
    print({kind: f"{1e3 * found:.1f} ms a step" for kind, found in step.items()})
    limit = step["bare live"] / step["bare plain"]
    by_note = f"loops written by hand, in the same turns: {limit:.2f} between live teacher and plain training"
    for figure, goal, value, met, note in (
        ("epoch with a complete cache ÷ epoch of plain training", "≤ 1.05", step["store"] / step["plain"], (0.0, 1.05), None),
        ("epoch with the live teacher ÷ epoch with the cache", "≥ 3.0", step["live"] / step["store"], (3.0, 1e9), by_note),
    ):
        data = f"{DATA}, medians of {len(seconds['plain'])} steps"
        record("store", figure, goal, value, None, met[0] <= value <= met[1], f"{COMMAND} epoch", data, [0], note)


def students(some: Items, model: nn.Module, folder: Path) -> None:
    count = EPOCHS * (len(some) // BATCH)
    began = time.perf_counter()
    query = teacher_query(model, some)
    codecs = choose_codecs(query, CacheConfig())
    fill_cache(query, folder, codecs, lambda done, total: None)
    with open_cache(query, CacheConfig(strict=True), folder, codecs) as cache:
        for seed in range(3):
            train(some, count, seed, frozen(model, channels_last=True, cache=cache))
    stored = time.perf_counter() - began
    began = time.perf_counter()
    for seed in range(3):
        train(some, count, seed, frozen(model, channels_last=True))
    live = time.perf_counter() - began
    value = stored / live
    print(f"three students: {stored:.0f} s with the cache and its build, {live:.0f} s with the live teacher")
    figure = "three students after one cache, the build included, ÷ the same with the live teacher"
    data = f"{DATA}, {EPOCHS} epochs of {len(some):,} images"
    record("store", figure, "≤ 0.45", value, None, value <= 0.45, f"{COMMAND} students", data, 3)


def building(some: Items, model: nn.Module, folder: Path) -> None:
    """Shard by shard in turn with bare inference over the same views."""
    query, ratios = teacher_query(model, some), []
    codecs = choose_codecs(query, CacheConfig())
    for turn in range(3):
        began = time.perf_counter()
        fill_cache(query, folder / str(turn), codecs, lambda done, total: None)
        built = time.perf_counter() - began
        began = time.perf_counter()
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            for view in range(COUNT):
                for rows in torch.split(torch.arange(len(some)), 256):
                    batch = query.source.batch_of_views(rows, torch.full_like(rows, view))
                    model(as_channels_last(batch.inputs["default"]))
        ratios.append(built / (time.perf_counter() - began))
    value = statistics.median(ratios)
    print(f"build ÷ bare inference: {value:.3f} of {[round(ratio, 3) for ratio in ratios]}")
    figure, ends, note = (
        "build ÷ bare teacher inference over the same items",
        (min(ratios), max(ratios)),
        "range of three turns",
    )
    record("store", figure, "≤ 1.1", value, ends, value <= 1.1, f"{COMMAND} build", f"{DATA}, {len(some):,} items", [0], note)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=["epoch", "students", "build", []], default=[])
    parts = parser.parse_args().parts or ["epoch", "students", "build"]
    torch.set_num_threads(1)
    model, sizes = teacher(), {"epoch": 2_560, "students": 1_280, "build": 640}
    work = {"epoch": epoch, "students": students, "build": building}
    for part in parts:
        with tempfile.TemporaryDirectory() as folder:
            work[part](items(sizes[part]), model, Path(folder))


if __name__ == "__main__":
    main()
