"""What a step of each method of online and self-distillation costs, against a step of the plain network on labels.

    python -m benchmarks.paradigms.step_costs

ResNet-8 on random images; all trainings take turns in one process, so that they see the machine in the same state.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks.bars import record
from benchmarks.paradigms.online import BATCH, random_images, ratio, training
from benchmarks.turns import Turns, TurnSource
from limbeck import Distillation, Stage, Update, methods, models, steps
from limbeck.core.actors import snapshot
from limbeck.data import Dataset, Items, OverlappingDataset, Pipeline
from limbeck.engine import Length
from limbeck.tasks import Classification

COMMAND = "OMP_NUM_THREADS=1 python -m benchmarks.paradigms.step_costs"
TURN, TURNS = 2, 50
# method -> the most that a step may cost, from the forward passes that it adds (a third of a step each) and what it reads
BARS = {
    "label_smoothing": 1.05,
    "virtual_teacher": 1.05,
    "ps_kd": 1.1,
    "dlb": 1.1,
    "born_again": 1.4,
    "mean_teacher": 1.4,
    "cs_kd": 1.5,
    "one": 2.0,  # three branches of a third of the network, 1.67 by its operations
}


def terms_of(method: str) -> Mapping[str, Any]:
    """What trains the student in the stage that has the method at work, and the actors beside it."""
    task = Classification()
    if method == "plain":
        return {"terms": task.hard_terms()}
    if method == "born_again":
        second = methods.born_again(task=task, length=steps(1), generations=2)["stages"][1]
        return {"terms": second.terms, "actors": {"generations.1": snapshot("student")}}
    return methods.call(method, {}, task=task)


def source(method: str, items: Items) -> Dataset:
    if method == "dlb":
        return OverlappingDataset(items, BATCH)
    views = {"default": Pipeline()} | ({"partner": Pipeline.from_spec(["same_class"])} if method == "cs_kd" else {})
    return Dataset(items, BATCH, views)


def job(turns: Turns, method: str, items: Items, length: Length) -> Distillation:
    """A training with the terms of a method, on batches that it takes in turns with others."""
    made = terms_of(method)
    stage = Stage([Update(list(made["terms"]), source=TurnSource(source(method, items), turns, method))], length)
    network = {"model": "resnet_cifar", "args": {"depth": 8}}

    def build() -> Any:
        plain = models.get("resnet_cifar", depth=8)
        return models.with_branches(network, ["layer3", "linear"], 3) if method == "one" else plain

    actors = made.get("actors", {})
    return Distillation(build, stages=[stage], actors=actors, control=False, training=training(length))


def main() -> None:
    items, length = random_images(), steps(TURNS * TURN)
    turns = Turns(("plain", *BARS), TURN)
    turns.run({party: job(turns, party, items, length).fit for party in turns.parties})
    plain = np.array(turns.seconds["plain"][2:])
    for method, most in BARS.items():
        value, ci95 = ratio(np.array(turns.seconds[method][2:]) / plain)
        figure = f"{method}: a step ÷ a step of the plain network, time"
        print(f"{figure}: {value:.3f} [{ci95[0]:.3f}, {ci95[1]:.3f}] (≤ {most})", flush=True)
        data = f"ResNet-8, random images of 32 × 32, batches of {BATCH}, bfloat16, one thread"
        note = f"processor time, median of {len(plain)} turns of {TURN} steps that all trainings take in one process"
        record("paradigms", figure, f"≤ {most:g}", value, ci95, value <= most, COMMAND, data, [0], note)


if __name__ == "__main__":
    main()
