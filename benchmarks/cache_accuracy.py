"""Measures what few cached views cost in accuracy, against a fresh view in every epoch, as a live teacher sees it.

    python -m benchmarks.cache_accuracy                       # all arms, after training what is missing
    python -m benchmarks.cache_accuracy "16 cached views"     # one arm; several processes may train several arms
    python -m benchmarks.cache_accuracy --items 10000         # on fewer images, in a quarter of the time

The recipe is cifar10-resnet8 with 30 epochs and 5 seeds; the arms differ in their `cache` only: eight views, sixteen, or eight
of which two are new every eight epochs (14 in all). They are compared with as many views as epochs: each student sees each view
once, as with a live teacher, and the seeds share what the teacher computes. A stopped run is resumed.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from benchmarks.bars import record
from limbeck.evaluation import Predictions, Verdict, load_predictions, paired_gain
from limbeck.recipe import Recipe, read_yaml
from limbeck.runs import run_recipe

ROOT = Path(__file__).parents[1]
EPOCHS, SEEDS, IMAGES = 30, [0, 1, 2, 3, 4], 50_000
FRESH = "a fresh view in every epoch"
ARMS: dict[str, Any] = {
    FRESH: {"path": "auto", "views": EPOCHS},
    "8 cached views": {"path": "auto", "views": 8},
    "16 cached views": {"path": "auto", "views": 16},
    "8 cached views, refreshed by 0.25": {"path": "auto", "views": 8, "refresh": 0.25},
}


def arm(name: str, items: int) -> tuple[Verdict, Predictions]:
    """Train the students of one arm, without a control, and load their predictions."""
    content = read_yaml((ROOT / "recipes" / "cifar10-resnet8.yaml").read_text(encoding="utf-8"))
    content |= {"name": "cache-accuracy", "cache": ARMS[name], "control": False, "targets": {}, "seeds": SEEDS}
    content["training"] |= {"epochs": EPOCHS, "threads": int(os.environ.get("OMP_NUM_THREADS", "1"))}
    if items < IMAGES:
        content["data"]["train"] = {"path": content["data"]["train"], "limit": items}
    place = ROOT / "runs" / f"benchmark-store-{items}" / name.replace(" ", "-").replace(",", "")
    folder = place / "run"  # each arm has a cache of its own beside it, so that its cost is counted whole
    verdict = run_recipe(Recipe.from_dict(content, f"arm {name}"), folder, resume=folder.exists())
    return verdict, load_predictions(folder)["student"]


def compare(name: str, items: int) -> None:
    """Record one arm beside fresh views."""
    (_, fresh), (verdict, cached) = arm(FRESH, items), arm(name, items)
    gain = paired_gain(cached.item_scores(), fresh.item_scores())
    points, ends = 100 * gain.value, (100 * gain.ci95[0], 100 * gain.ci95[1])
    assert verdict.cost is not None
    record(
        "store",
        f"test accuracy with {name} − with {FRESH}, points",
        "within ±0.3",
        points,
        ends,
        abs(points) <= 0.3,
        "OMP_NUM_THREADS=1 python -m benchmarks.cache_accuracy" + ("" if items == IMAGES else f" --items {items}"),
        f"cifar10, ResNet-56 → ResNet-8, {EPOCHS} epochs of {round(0.98 * items):,} images, evaluated on 5,000",
        verdict.seeds,
        f"the teacher ran on {verdict.cost.teacher_items:,} items for all seeds; a live one runs on "
        f"{round(0.98 * items) * EPOCHS * len(SEEDS):,}",
    )
    print(f"{name} − fresh: {points:+.2f} points [{ends[0]:+.2f}, {ends[1]:+.2f}]")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("arm", nargs="?", choices=list(ARMS))
    parser.add_argument("--items", type=int, default=IMAGES, help="training images")
    given = parser.parse_args()
    if given.arm:
        arm(given.arm, given.items)
    else:
        for name in list(ARMS)[1:]:
            compare(name, given.items)


if __name__ == "__main__":
    main()
