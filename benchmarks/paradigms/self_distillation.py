"""Be your own teacher: exits of one network, against the plain network and label smoothing.

    python -m benchmarks.paradigms.self_distillation byot            # recipes/be_your_own_teacher.yaml; needs LIMBECK_DATA
    python -m benchmarks.paradigms.self_distillation early --run DIR  # keep a finished run of it instead of training
    python -m benchmarks.paradigms.self_distillation overhead

byot      a network with three exits on 5,000 labels of CIFAR-10, for three seeds
early     early exit by confidence of the same networks, which needs no controls (`limbeck distill … --set controls={}`)
overhead  its step against a step of the plain network
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from benchmarks.bars import record
from benchmarks.paradigms.online import (
    BATCH,
    TURN,
    TURNS,
    points,
    random_images,
    ratio,
    right,
    trained_run,
    training,
    with_turns,
)
from benchmarks.paradigms.parts import run_recipe_parts
from benchmarks.turns import Turns
from limbeck import Distillation, Stage, Update, methods, models, steps
from limbeck.data import Items
from limbeck.engine import Length
from limbeck.evaluation import Verdict
from limbeck.evaluation.early_exit import EarlyExits
from limbeck.evaluation.predictions import load_predictions
from limbeck.evaluation.statistics import paired_gain
from limbeck.tasks import Classification

COMMAND = "OMP_NUM_THREADS=1 python -m benchmarks.paradigms.self_distillation"
DATA = "cifar10, 5,000 labels, ResNet-20 of widths 8, 24, 96 with exits at layer1, layer2 and layer3.0, 30 epochs"
HALF, EARLY = 0.5, "early"
NETWORK = {"depth": 20, "widths": (8, 24, 96)}
EXITS = ["layer1", "layer2", "layer3.0"]


def byot(run: Path | None) -> None:
    folder = trained_run("be_your_own_teacher", run)
    verdict, arms = Verdict.load(folder), {name: right(one) for name, one in load_predictions(folder).items()}
    seeds = verdict.seeds
    accuracy = ", ".join(f"{name} {100 * result.distilled.metric:.2f} %" for name, result in verdict.results.items())
    for control, title in (("plain", "the plain network"), ("smoothing", "label smoothing")):
        value, ci95 = points(paired_gain(arms["student"], arms[control]))
        keep(
            f"be your own teacher: accuracy of the deepest output minus that of {title}, points", "> 0, interval above 0",
            value, ci95, ci95[0] > 0, "byot", DATA, seeds, f"{accuracy}; {control} {100 * arms[control].mean():.2f} %",
        )  # fmt: skip
    curve = verdict.results[EARLY].early_exits
    assert curve is not None
    _half(verdict, arms, curve)


def _half(verdict: Verdict, arms: dict[str, np.ndarray], curve: EarlyExits) -> None:
    """The best exit of those that cost at most half of the network, chosen by what it costs: the most expensive one."""
    costs = {
        name: result.distilled.macs / curve.plain_macs
        for name, result in verdict.results.items()
        if name.startswith("exits.") and result.distilled.macs
    }
    name = max((name for name, cost in costs.items() if cost <= HALF), key=lambda name: costs[name])
    value, ci95 = points(paired_gain(arms[f"{name}/student"], arms["student"]))
    keep(
        "be your own teacher: accuracy of an exit at half the work minus that of the whole network, points", "≥ −1.5 points",
        value, ci95, value >= -1.5, "byot", DATA, verdict.seeds, f"{name}, {100 * costs[name]:.0f} % of the multiply-adds",
    )  # fmt: skip


def early(run: Path | None) -> None:
    """Early exit with the thresholds that the run has chosen on its validation data, on the test data."""
    verdict = Verdict.load(trained_run("be_your_own_teacher", run))
    curve, whole = verdict.results[EARLY].early_exits, verdict.results["student"].distilled.metric
    assert curve is not None
    saved, lost = 100 * (1 - curve.chosen.work), 100 * (whole - curve.chosen.metric)
    leave = ", ".join(f"{100 * share:.0f} % at {name}" for name, share in zip(curve.exits, curve.chosen.shares, strict=True))
    chosen = "; ".join(", ".join(f"{each:g}" for each in of_seed) for of_seed in curve.thresholds)
    note = f"{lost:+.2f} points of accuracy lost; {leave}; thresholds of the exits, chosen on 5,000 validation images: {chosen}"
    print(f"early exit saves {saved:.1f} %; {note}", flush=True)
    record(
        "paradigms", "early exit by confidence: work saved at 0.3 points or less, per cent of the plain network", "≥ 30",
        saved, None, saved >= 30 and lost <= 0.3, f"{COMMAND} early", DATA, verdict.seeds, note,
    )  # fmt: skip


def keep(
    figure: str, bar: str, value: float, ci95: Sequence[float], met: bool, part: str, data: str, seeds: Sequence[int], note: str
) -> None:
    print(f"{figure}: {value:.4g} [{ci95[0]:.4g}, {ci95[1]:.4g}] ({bar}: {'met' if met else 'not met'}); {note}", flush=True)
    record("paradigms", figure, bar, value, ci95, met, f"{COMMAND} {part}", data, seeds, note)


# --- overhead ------------------------------------------------------------------------------------------------------------


def job(turns: Turns, party: str, items: Items, length: Length) -> Distillation:
    """The plain network on labels, or with exits that it teaches."""
    task = Classification()
    own = methods.be_your_own_teacher(task=task, features="layer3")
    terms = task.hard_terms() if party == "plain" else list(own["terms"])
    stage = with_turns(turns, party, Stage([Update(terms)], length), items)
    network = {"model": "resnet_cifar", "args": NETWORK}

    def build() -> torch.nn.Module:
        return models.with_exits(network, EXITS) if party == "exits" else models.get("resnet_cifar", **NETWORK)

    return Distillation(build, stages=[stage], control=False, training=training(length))


def overhead(run: Path | None) -> None:
    items, length = random_images(), steps(TURNS * TURN)
    turns = Turns(("exits", "plain"), TURN)
    turns.run({party: job(turns, party, items, length).fit for party in turns.parties})
    exits, plain = (np.array(turns.seconds[party][2:]) for party in turns.parties)
    value, ci95 = ratio(exits / plain)
    keep(
        "be your own teacher: a step with three exits ÷ a step of the plain network, time",
        "≤ 1.35", value, ci95, value <= 1.35, "overhead", f"random images of 32 × 32, batches of {BATCH}, bfloat16, one thread",
        [0], f"processor time, median of {len(exits)} turns of {TURN} steps that the two trainings take in one process",
    )  # fmt: skip


PARTS = {"byot": byot, "early": early, "overhead": overhead}


def main() -> None:
    run_recipe_parts(__doc__, PARTS)


if __name__ == "__main__":
    main()
