"""What a step of each method across modalities costs, against its parts: a step on labels and the teacher's forward pass.

    OMP_NUM_THREADS=1 python -m benchmarks.paradigms.cross_modal_steps

A ResNet-8 that reads one field of random pairs, taught by a ResNet-14 that reads the other and runs in each step. The student's
step on labels, the teacher's forward pass and the methods take turns in one process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from benchmarks.bars import record
from benchmarks.paradigms.online import BATCH
from benchmarks.real_sizes.timing import median_with_interval, take_turns
from limbeck import Optimizer, Settings, Stage, Update, frozen, methods, models, steps, trained
from limbeck.core.batch import Batch
from limbeck.core.source import BatchPosition, Source
from limbeck.core.terms import Term
from limbeck.engine import Run
from limbeck.tasks import Classification

COMMAND = "OMP_NUM_THREADS=1 python -m benchmarks.paradigms.cross_modal_steps"
TURN, TURNS, BATCHES, CLASSES = 1, 20, 4, 10
LABELS, TEACHER = "labels", "teacher"
LAYERS = {"layer": "input(linear)", "teacher_layer": "input(linear)"}
# method -> arguments, and the most that a step may cost, from what it compares beside the outputs
METHODS: dict[str, tuple[Mapping[str, Any], float]] = {
    "supervision_transfer": (LAYERS, 1.1),
    "cmkd": (LAYERS, 1.15),  # two matrices of similarities
    "contrastive_transfer": (LAYERS, 1.1),
}


class Pairs(Source):
    """Random pairs of two images, in memory, so that only the step is measured."""

    samples, steps_per_epoch = BATCH * BATCHES, BATCHES

    def __init__(self) -> None:
        draw = torch.Generator().manual_seed(0)
        self.batches = [
            Batch(
                {"default": {field: torch.randn(BATCH, 3, 32, 32, generator=draw) for field in ("seen", "heard")}},
                target=torch.randint(CLASSES, (BATCH,), generator=draw),
            )
            for _ in range(BATCHES)
        ]

    def batch(self, position: BatchPosition) -> Batch:
        return self.batches[position.step % BATCHES]


def network(depth: int) -> nn.Module:
    torch.manual_seed(0)
    return models.get("resnet_cifar", depth=depth)


def terms_of(method: str) -> Sequence[Term]:
    """What trains the student in the first stage of a method."""
    made = methods.call(method, METHODS[method][0], task=Classification(), length=steps(1))
    return made["terms"] if "terms" in made else made["stages"][0].updates[0].terms


def training(terms: Sequence[Term], *, teacher: bool) -> Callable[[], object]:
    """A turn of steps of a `Run`."""
    actors = {"student": trained(network(8), reads="seen")}
    if teacher:
        actors["teacher"] = frozen(network(14), reads="heard")
    stage = Stage([Update(list(terms))], steps(10**6), Optimizer("sgd", lr=0.01, options={"momentum": 0.9}))
    settings = Settings(progress=False, device="cpu", threads=1, trackers=())
    run = Run(actors, [stage], source=Pairs(), settings=settings)
    return lambda: run.advance(TURN)


def teacher_alone() -> Callable[[], object]:
    """A turn of forward passes of the teacher."""
    model, batches = network(14).eval(), Pairs().batches

    @torch.no_grad()
    def turn() -> None:
        for number in range(TURN):
            model(batches[number % BATCHES].inputs["default"]["heard"])

    return turn


def main() -> None:
    torch.set_num_threads(1)
    parts = {LABELS: training(Classification().hard_terms(), teacher=False), TEACHER: teacher_alone()}
    seconds = take_turns(parts | {method: training(terms_of(method), teacher=True) for method in METHODS}, TURNS)
    plain = [step + forward for step, forward in zip(seconds[LABELS], seconds[TEACHER], strict=True)]
    for method, (_, most) in METHODS.items():
        value, ci95 = median_with_interval([ours / theirs for ours, theirs in zip(seconds[method], plain, strict=True)])
        figure = f"{method}: a step ÷ a step on labels and a forward pass of the teacher, time"
        print(f"{figure}: {value:.3f} [{ci95[0]:.3f}, {ci95[1]:.3f}] (≤ {most})", flush=True)
        data = f"ResNet-8 from a ResNet-14 of another field, random pairs of 32 × 32, batches of {BATCH}, float32, one thread"
        note = f"processor time, median of {TURNS} turns of {TURN} step that all take in one process"
        record("paradigms", figure, f"≤ {most:g}", value, ci95, value <= most, COMMAND, data, [0], note)


if __name__ == "__main__":
    main()
