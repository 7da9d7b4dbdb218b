"""What a step of each method between architectures costs, against a step of plain distillation with the same teacher.

    python -m benchmarks.paradigms.heterogeneous_steps

A vision transformer taught by a ResNet-8 that runs in each step, on random images; `cross_architecture` with attention: a
ResNet-8 taught by the transformer. All trainings take turns in one process, so that they see the machine in the same state.
Where the memory of a training lies makes it up to a tenth faster or slower than the same training beside it. So plain
distillation takes part several times, and methods are compared with the mean of these. A step of `takd` is one of plain
distillation from its assistant, by construction: how far it is from 1 is the error of the measurement.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import nn

from benchmarks.bars import record
from benchmarks.paradigms.heterogeneous_teachers import settings
from benchmarks.paradigms.online import BATCH, random_images, ratio
from benchmarks.turns import Turns, TurnSource
from limbeck import Distillation, Stage, Training, Update, methods, models, steps
from limbeck.core.terms import Term
from limbeck.data import Dataset, Items
from limbeck.engine import Length
from limbeck.tasks import Classification

COMMAND = "OMP_NUM_THREADS=1 python -m benchmarks.paradigms.heterogeneous_steps"
TURN, TURNS = 4, 25
VIT: dict[str, Any] = {"dim": 64, "depth": 4, "heads": 4, "patch": 8}
PAIRS = {"blocks.1": "layer2", "blocks.3": "layer3"}
PLAIN = {kind: [f"hinton of a {kind}, {number}" for number in range(3)] for kind in ("vit", "cnn")}
# party -> method, arguments, student, and the most that a step may cost, from the operations that it adds to plain distillation
PARTIES: dict[str, tuple[str, Mapping[str, Any], str, float]] = {
    PLAIN["vit"][0]: ("hinton", {}, "vit", 1.0),
    PLAIN["cnn"][0]: ("hinton", {}, "cnn", 1.0),
    "deit": ("deit", {}, "vit", 1.15),  # one token of 18, one head
    "ofa_kd": ("ofa_kd", {}, "vit", 1.15),  # two exits, each a norm and a linear layer
    PLAIN["vit"][1]: ("hinton", {}, "vit", 1.0),
    PLAIN["cnn"][1]: ("hinton", {}, "cnn", 1.0),
    "takd": (
        "takd",
        {"assistants": ["assistant"]},
        "vit",
        1.05,
    ),  # the stage of the student, an assistant in the teacher's place
    "progressive_projection": ("progressive_projection", {"features": PAIRS}, "vit", 1.3),  # the stage with both projections
    PLAIN["vit"][2]: ("hinton", {}, "vit", 1.0),
    PLAIN["cnn"][2]: ("hinton", {}, "cnn", 1.0),
    "cross_architecture, features": ("cross_architecture", {"features": {"blocks.3": "layer3"}}, "vit", 1.3),
    "cross_architecture, attention": ("cross_architecture", {"attention": {"layer3": "blocks.3.attn"}}, "cnn", 1.3),
}


def terms_of(method: str, arguments: Mapping[str, Any]) -> Sequence[Term]:
    """What trains the student in the last stage of a method."""
    made = methods.call(method, arguments, task=Classification(), length=steps(TURN * TURNS))
    return made["terms"] if "terms" in made else made["stages"][-1].terms


def student(party: str, kind: str) -> nn.Module:
    if kind == "cnn":
        return models.get("resnet_cifar", depth=8)
    args = {**VIT, "distilled": party == "deit"}
    plain = models.get("vit_tiny", **args)
    return models.with_exits({"model": "vit_tiny", "args": args}, list(PAIRS)) if party == "ofa_kd" else plain


def job(turns: Turns, party: str, items: Items, length: Length) -> Distillation:
    """A training with the terms of a method, on batches that it takes in turns with others."""
    method, arguments, kind, _ = PARTIES[party]
    source = TurnSource(Dataset(items, BATCH), turns, party)
    stage = Stage([Update(list(terms_of(method, arguments)), source=source)], length)
    teacher = models.get("resnet_cifar", depth=8) if kind == "vit" else models.get("vit_tiny", **VIT)
    actors = {"assistant": teacher} if party == "takd" else {}
    return Distillation(
        student(party, kind), None if actors else teacher, actors=actors, stages=[stage], control=False,
        training=Training(length, BATCH, settings=settings()),
    )  # fmt: skip


def main() -> None:
    items, length = random_images(), steps(TURNS * TURN)
    turns = Turns(tuple(PARTIES), TURN)
    turns.run({party: job(turns, party, items, length).fit for party in turns.parties})
    seconds = {party: np.array(turns.seconds[party][2:]) for party in PARTIES}
    plain = {kind: np.mean([seconds[party] for party in parties], 0) for kind, parties in PLAIN.items()}
    for party, (method, _, kind, most) in PARTIES.items():
        if method == "hinton":
            continue
        value, ci95 = ratio(seconds[party] / plain[kind])
        figure = f"{party}: a step ÷ a step of plain distillation with the same teacher, time"
        print(f"{figure}: {value:.3f} [{ci95[0]:.3f}, {ci95[1]:.3f}] (≤ {most})", flush=True)
        who = "vision transformer from ResNet-8" if kind == "vit" else "ResNet-8 from a vision transformer"
        data = f"{who}, random images of 32 × 32, batches of {BATCH}, float32, one thread"
        note = f"processor time, median of {TURNS - 2} turns of {TURN} steps that all trainings take in one process"
        record("paradigms", figure, f"≤ {most:g}", value, ci95, value <= most, COMMAND, data, [0], note)


if __name__ == "__main__":
    main()
