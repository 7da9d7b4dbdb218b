"""Networks that learn together: against each alone, and their ensemble against that of independent ones.

    python -m benchmarks.paradigms.online dml              # recipes/mutual_learning.yaml; needs LIMBECK_DATA, resumes
    python -m benchmarks.paradigms.online dml --run DIR    # keep a finished run of it instead of training
    python -m benchmarks.paradigms.online overhead

dml       two networks that teach each other, on 5,000 labels of CIFAR-10, for three seeds
overhead  a step of two peers against a step of each alone
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.bars import record
from benchmarks.paradigms.parts import run_recipe_parts
from benchmarks.turns import Turns, TurnSource
from limbeck import Distillation, Stage, Update, methods, models, steps
from limbeck.data import Dataset, Items
from limbeck.engine import Length, Optimizer, Settings
from limbeck.engine.training import Training
from limbeck.evaluation import Verdict
from limbeck.evaluation.predictions import Predictions, load_predictions
from limbeck.evaluation.statistics import Gain, paired_gain
from limbeck.recipe import Recipe, find_recipe
from limbeck.runs import run_recipe
from limbeck.tasks import Classification

FOLDER = Path("runs/benchmarks/online")
COMMAND = "OMP_NUM_THREADS=1 python -m benchmarks.paradigms.online"
TURN, TURNS, BATCH = 2, 14, 128
DEPTHS = {"peers.a": 8, "peers.b": 14}


def points(gain: Gain) -> tuple[float, tuple[float, float]]:
    """A difference of accuracies and its interval, in points."""
    return 100 * gain.value, (100 * gain.ci95[0], 100 * gain.ci95[1])


def shown(gain: Gain) -> str:
    value, (low, high) = points(gain)
    return f"{value:+.2f} [{low:.2f}, {high:.2f}]"


def trained_run(name: str, run: Path | None) -> Path:
    """The folder of the finished run of a recipe; it is trained, or continued, if none is given."""
    if run is None:
        run = FOLDER.parent / name
        if not (run / "verdict.json").exists():
            run_recipe(Recipe.read(find_recipe(name)), run, resume=run.exists())
    return run


def right(predictions: Predictions) -> np.ndarray:
    """Which test items are right, 0 or 1, `[seeds, items]`."""
    return predictions.correct().astype(float)


def dml(run: Path | None) -> None:
    folder = trained_run("mutual_learning", run)
    verdict, found = Verdict.load(folder), load_predictions(folder)
    arms = {name: right(one) for name, one in found.items()}
    *members, ensemble = verdict.results
    first = members[0]

    def of(result: str, arm: str) -> np.ndarray:
        return arms[arm] if result == first and arm in arms else arms[f"{result}/{arm}"]

    gains = {result: paired_gain(of(result, "student"), of(result, "control")) for result in verdict.results}
    mean = paired_gain(*(np.mean([of(member, arm) for member in members], axis=0) for arm in ("student", "control")))
    alone = {result: 100 * of(result, "control").mean() for result in verdict.results}
    each = ", ".join(f"{name} {alone[name]:.2f} → {100 * of(name, 'student').mean():.2f} %" for name in verdict.results)
    own = "; ".join(f"{name} {shown(gain)}" for name, gain in gains.items())
    data = "cifar10, 5,000 labels, ResNet-8 and ResNet-14, 60 epochs, each peer in a view of its own, T = 3"
    value, ci95 = points(mean)
    keep(
        "mutual learning: accuracy of both members, mean, minus that of the same two alone, points",
        "> 0, interval above 0", value, ci95, ci95[0] > 0, "dml", data, verdict.seeds,
        f"alone → together: {each}; gains: {own}",
    )  # fmt: skip
    value, ci95 = points(gains[ensemble])
    keep(
        "mutual learning: accuracy of the ensemble of peers minus that of independent networks, points",
        "none; it is reported", value, ci95, True, "dml", data, verdict.seeds, f"alone → together: {each}",
    )  # fmt: skip


def keep(
    figure: str, bar: str, value: float, ci95: Sequence[float], met: bool, part: str, data: str, seeds: Sequence[int], note: str
) -> None:
    print(f"{figure}: {value:.4g} [{ci95[0]:.4g}, {ci95[1]:.4g}] ({bar}: {'met' if met else 'not met'}); {note}", flush=True)
    record("paradigms", figure, bar, value, ci95, met, f"{COMMAND} {part}", data, seeds, note)


# --- overhead ------------------------------------------------------------------------------------------------------------


def training(length: Length) -> Training:
    optimizer = Optimizer("sgd", lr=0.05, options={"momentum": 0.9})
    settings = Settings(progress=False, device="cpu", threads=1, trackers=(), precision="bfloat16")
    return Training(length, BATCH, optimizer=optimizer, settings=settings)


def random_images(count: int = 4 * BATCH) -> Items:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8, generator=generator)
    return Items.from_tensors(images, torch.arange(count) % 10, classes=10)


def with_turns(turns: Turns, party: str, stage: Stage, items: Items) -> Stage:
    """The stage on batches that it takes in turns with other trainings."""
    source = TurnSource(Dataset(items, BATCH), turns, party)
    (update,) = stage.updates
    update.source = source
    return stage


def peer_job(turns: Turns, names: Sequence[str], items: Items, length: Length) -> Distillation:
    """Networks trained alone, or as peers that also learn from each other."""
    task, party = Classification(), "+".join(names)
    actors: dict[str, Any] = {name: (lambda depth=DEPTHS[name]: models.get("resnet_cifar", depth=depth)) for name in names}
    if len(names) > 1:
        (stage,) = methods.mutual_learning(task=task, length=length)["stages"]
    else:
        stage = Stage([Update(task.hard_terms(names[0]), trains=names[0])], length)
    stages = [with_turns(turns, party, stage, items)]
    return Distillation(actors=actors, stages=stages, control=False, training=training(length))


def ratio(seconds: np.ndarray) -> tuple[float, tuple[float, float]]:
    """The median of ratios and its interval, by bootstrap over turns."""
    drawn = np.random.default_rng(0).choice(seconds, (10_000, len(seconds)))
    low, high = np.quantile(np.median(drawn, axis=1), [0.025, 0.975])
    return float(np.median(seconds)), (float(low), float(high))


def overhead(run: Path | None) -> None:
    items, length, names = random_images(), steps(TURNS * TURN), list(DEPTHS)
    turns = Turns(("+".join(names), *names), TURN)
    turns.run({party: peer_job(turns, party.split("+"), items, length).fit for party in turns.parties})
    both, a, b = (np.array(turns.seconds[party][2:]) for party in turns.parties)
    value, ci95 = ratio(both / (a + b))
    keep(
        "mutual learning of ResNet-8 and ResNet-14 ÷ both trained alone, time",
        "≤ 1.05", value, ci95, value <= 1.05, "overhead", f"random images of 32 × 32, batches of {BATCH}, bfloat16, one thread",
        [0], f"processor time, median of {len(both)} turns of {TURN} steps that the three trainings take in one process",
    )  # fmt: skip


PARTS = {"dml": dml, "overhead": overhead}


def main() -> None:
    run_recipe_parts(__doc__, PARTS)


if __name__ == "__main__":
    main()
