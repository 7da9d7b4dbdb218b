"""Measures the overhead of the engine: plain training through it against a bare loop, same model, same batches.

    python -m benchmarks.engine

One process. The two alternate step by step: whenever the engine asks its source for the next batch, the bare loop first does
one step on the same batch. The time between two such requests, less the bare step, is the engine's. So both see the machine in
the same state. The figure is the median of the pairs, with its bootstrap interval. Both train ResNet-8 (CIFAR size) from the
same weights on real images (scikit-learn's digits, 32×32 RGB), and their weights must agree at the end.
"""

from __future__ import annotations

import copy
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.bars import record
from limbeck.core.actors import trained
from limbeck.core.batch import Batch
from limbeck.core.source import BatchPosition, Source
from limbeck.core.terms import Term
from limbeck.data import load_items
from limbeck.engine import Optimizer, Run, Settings, Stage, Update, steps
from limbeck.models import resnet_cifar
from limbeck.objectives import HardTargets

STEPS, BATCH, WARM_UP = 240, 128, 10
OPTIONS = {"momentum": 0.9, "weight_decay": 5e-4}


def batches() -> list[Batch]:
    items = load_items("digits", split="train", channels=3, size=32)
    images = items.fetch(torch.arange(9 * BATCH)).float() / 255
    pairs = zip(images.split(BATCH), items.target[: 9 * BATCH].split(BATCH), strict=True)
    return [Batch({"default": x.contiguous()}, target=y) for x, y in pairs]


class Alternating(Source):
    """Prepared batches; every request first does one step of the bare loop, on the clock of its own."""

    samples, steps_per_epoch = 9 * BATCH, 9

    def __init__(self, model: nn.Module) -> None:
        self.batches, self.model = batches(), model.train()
        self.optimizer = torch.optim.SGD(model.parameters(), lr=0.05, **OPTIONS)
        self.bare: list[float] = []
        self.engine: list[float] = []
        self.left: float | None = None
        self.dry = True  # the engine's dry run asks for the first batch once more

    def batch(self, place: BatchPosition) -> Batch:
        batch = self.batches[place.step % len(self.batches)]
        if self.dry:
            self.dry = False
            return batch
        arrived = time.perf_counter()
        if self.left is not None:
            self.engine.append(arrived - self.left)
        self.optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(self.model(batch.inputs["default"]), batch.target).backward()
        self.optimizer.step()
        self.left = time.perf_counter()
        self.bare.append(self.left - arrived)
        return batch


def main() -> None:
    start = resnet_cifar(depth=8)
    bare, ours = copy.deepcopy(start), copy.deepcopy(start)
    source = Alternating(bare)
    stage = Stage([Update([Term(HardTargets())])], steps(STEPS), Optimizer("sgd", lr=0.05, options=dict(OPTIONS)))
    Run({"student": trained(ours)}, [stage], source=source, settings=Settings(progress=False, device="cpu")).fit()
    for one, other in zip(ours.parameters(), bare.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-2, atol=1e-3)

    pairs = np.array(list(zip(source.bare, source.engine, strict=False)))[WARM_UP:]
    ratios = pairs[:, 0] / pairs[:, 1]
    value = float(np.median(ratios))
    drawn = np.random.default_rng(0).choice(ratios, (10_000, len(ratios)))
    low, high = np.quantile(np.median(drawn, axis=1), [0.025, 0.975])
    print(f"bare {1e3 * np.median(pairs[:, 0]):.2f} ms, engine {1e3 * np.median(pairs[:, 1]):.2f} ms a step (medians)")
    print(f"engine ÷ bare, items per second, median of pairs: {value:.4f} [{low:.4f}, {high:.4f}]")
    record(
        "main-job",
        "plain training through the engine ÷ bare loop, items per second",
        "≥ 0.97",
        value,
        (float(low), float(high)),
        value >= 0.97,
        "python -m benchmarks.engine",
        f"ResNet-8, batches of {BATCH} images of 32×32, {torch.get_num_threads()} threads, {len(pairs)} steps each",
        [0],
    )


if __name__ == "__main__":
    main()
