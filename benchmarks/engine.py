"""What the engine costs: plain training through it against a bare hand-written loop, same model, same batches.

    python -m benchmarks.engine

One process, one thread, the two in turn. Both train ResNet-8 (CIFAR size) from the same weights on the same prepared batches of
real images (scikit-learn's digits, enlarged to 32×32 RGB); the weights must agree at the end. Time is the processor time of the
process: on one thread it is what the wall clock shows on a quiet machine, and other processes do not disturb it.
"""

from __future__ import annotations

import copy
import time

import numpy as np
import torch
from torch.nn import functional as F

from benchmarks.bars import record
from limbeck.actors import trained
from limbeck.engine import Optimizer, Run, Settings, Stage, Step, steps
from limbeck.models import resnet_cifar
from limbeck.objectives import HardTargets
from limbeck.sources import Batch, Place, Source, load_items
from limbeck.terms import Term

STEPS, PAIRS, BATCH = 60, 9, 128
OPTIONS = {"momentum": 0.9, "weight_decay": 5e-4}


class Prepared(Source):
    """The same batches again and again, so that neither side pays for data."""

    samples, rounds_per_epoch = 9 * BATCH, 9

    def __init__(self) -> None:
        items = load_items("digits", split="train", channels=3, size=32)
        images = items.fetch(torch.arange(9 * BATCH)).float() / 255
        self.batches = [
            Batch({"default": x.contiguous()}, target=y)
            for x, y in zip(images.split(BATCH), items.target[: 9 * BATCH].split(BATCH), strict=True)
        ]

    def batch(self, place: Place) -> Batch:
        return self.batches[place.round % len(self.batches)]


def bare(model: torch.nn.Module, source: Prepared) -> float:
    began = time.process_time()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, **OPTIONS)
    model.train()
    for step in range(STEPS):
        batch = source.batches[step % len(source.batches)]
        optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(model(batch.inputs["default"]), batch.target).backward()
        optimizer.step()
    return time.process_time() - began


def engine(model: torch.nn.Module, source: Prepared) -> float:
    began = time.process_time()
    stage = Stage([Step([Term(HardTargets())])], steps(STEPS), Optimizer("sgd", lr=0.05, options=dict(OPTIONS)))
    Run({"student": trained(model)}, [stage], source=source, settings=Settings(progress=False, device="cpu")).fit()
    return time.process_time() - began


def main() -> None:
    torch.set_num_threads(1)
    source, start = Prepared(), resnet_cifar(depth=8)
    models = copy.deepcopy(start), copy.deepcopy(start)
    bare(models[0], source), engine(models[1], source)  # warm up, and look at the result
    for ours, theirs in zip(models[1].parameters(), models[0].parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)
    ratios = []
    for pair in range(PAIRS):
        order = (bare, engine) if pair % 2 else (engine, bare)
        seconds = {side.__name__: side(copy.deepcopy(start), source) for side in order}
        ratios.append(seconds["bare"] / seconds["engine"])
        print(f"pair {pair}: bare {seconds['bare']:.2f} s, engine {seconds['engine']:.2f} s, ratio {ratios[-1]:.4f}", flush=True)
    value = float(np.median(ratios))
    draws = np.median(np.random.default_rng(0).choice(ratios, (10_000, PAIRS)), axis=1)
    low, high = np.quantile(draws, [0.025, 0.975])
    record(
        "main-job",
        "plain training through the engine ÷ bare loop, items per second",
        "≥ 0.97",
        value,
        (float(low), float(high)),
        value >= 0.97,
        "python -m benchmarks.engine",
        f"ResNet-8, batches of {BATCH} images of 32×32, one thread",
        [0],
    )
    print(f"engine ÷ bare: {value:.4f} [{low:.4f}, {high:.4f}]")


if __name__ == "__main__":
    main()
