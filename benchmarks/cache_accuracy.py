"""Measures what eight cached views cost in accuracy, against a live teacher with a fresh crop in every epoch.

    python -m benchmarks.cache_accuracy live       # one arm; two processes may train the two arms at the same time
    python -m benchmarks.cache_accuracy stored
    python -m benchmarks.cache_accuracy            # compare both, after training what is missing

The recipe is cifar10-resnet8 with 30 epochs and 3 seeds; the arms differ in their `cache` only. A stopped run is resumed.
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
EPOCHS = 30
ARMS: dict[str, Any] = {"live": "off", "stored": {"path": "auto", "views": 8}}


def arm(name: str) -> tuple[Verdict, Predictions]:
    """Train the three students of one arm, without a control, and load their predictions."""
    content = read_yaml((ROOT / "recipes" / "cifar10-resnet8.yaml").read_text(encoding="utf-8"))
    content |= {"name": f"store-{name}", "cache": ARMS[name], "control": False, "targets": {}}
    content["training"] |= {"epochs": EPOCHS, "threads": int(os.environ.get("OMP_NUM_THREADS", "1"))}
    folder = ROOT / "runs" / "benchmark-store" / name
    verdict = run_recipe(Recipe.from_dict(content, f"arm {name}"), folder, resume=folder.exists())
    return verdict, load_predictions(folder)["student"]


def weigh() -> None:
    live_verdict, live = arm("live")
    stored_verdict, stored = arm("stored")
    gain = paired_gain(stored.item_scores(), live.item_scores())
    points, ends = 100 * gain.value, (100 * gain.ci95[0], 100 * gain.ci95[1])
    print(f"live {live_verdict.sentence()}\nstored {stored_verdict.sentence()}")
    print(f"stored − live: {points:+.2f} points [{ends[0]:+.2f}, {ends[1]:+.2f}]")
    record(
        "store",
        "test accuracy with 8 cached views − with the live teacher, points",
        "within ±0.3",
        points,
        ends,
        abs(points) <= 0.3,
        "OMP_NUM_THREADS=1 python -m benchmarks.cache_accuracy",
        f"cifar10, ResNet-56 → ResNet-8, {EPOCHS} epochs of 49,000 images, evaluated on 5,000",
        stored_verdict.seeds,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("arm", nargs="?", choices=list(ARMS))
    chosen = parser.parse_args().arm
    if chosen:
        arm(chosen)
    else:
        weigh()


if __name__ == "__main__":
    main()
