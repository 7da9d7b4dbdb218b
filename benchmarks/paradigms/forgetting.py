"""What a student unlearns while it learns a new domain, and what holds it: labels alone, distillation alone, its own past.

    python -m benchmarks.paradigms.forgetting              # needs LIMBECK_DATA, resumes

The old domain are the digits of MNIST, the new one those of scikit-learn (recipes/forgetting.yaml). Each way is trained for
three seeds, and evaluated on the test images of both. `past: 0.25` is the paper's weight; it was not chosen by these figures.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from benchmarks.bars import record
from benchmarks.paradigms.online import points, shown
from limbeck import models
from limbeck.data import Items
from limbeck.evaluation.predictions import Predictions
from limbeck.evaluation.statistics import paired_gain
from limbeck.recipe import Recipe, find_recipe
from limbeck.recipe.schema.data import DatasetSpec
from limbeck.runs import run_recipe
from limbeck.tasks import Classification

FOLDER = Path("runs/benchmarks/forgetting")
BEFORE = FOLDER / "before"
METHOD = "method.learning_without_forgetting"
WAYS = {
    "labels alone": "{past: 0}",
    "distillation alone": "{labels: 0, past: 0, soft: 1}",
    "labels and past": "{}",
    "labels and past, weight 1": "{past: 1}",
    "labels, past and teacher": "{soft: 1}",
    "teacher and past": "{labels: 0, soft: 1}",
}
OLD = DatasetSpec.model_validate({"path": "${LIMBECK_DATA}/data/mnist/test.parquet", "size": 8})
NEW = DatasetSpec.model_validate({"path": "digits", "split": "test"})


def right(folders: list[Path], items: Items) -> np.ndarray:
    """Which items the models get right, 0 or 1, `[models, items]`."""
    task = Classification()
    outputs = [task.outputs(models.load_model(folder), items) for folder in folders]
    return Predictions(**task.to_predictions(outputs, items)).correct().astype(float)


def students(way: str) -> list[Path]:
    """The students of one way, one for each seed; those that are there are not trained again."""
    found = []
    for seed in (0, 1, 2):
        folder = FOLDER / way.replace(",", "").replace(" ", "-") / f"seed-{seed}"
        if not (folder / "verdict.json").exists():
            weights = f"student.weights={BEFORE}/student/model.safetensors"
            given = [f"{METHOD}={WAYS[way]}", weights, f"seeds=[{seed}]", "control=false", "training.trackers=[]"]
            run_recipe(Recipe.read(find_recipe("forgetting"), given), folder, resume=folder.exists())
        found.append(folder / "student")
    return found


def main() -> None:
    if not (BEFORE / "verdict.json").exists():
        run_recipe(Recipe.read(find_recipe("forgetting-before")), BEFORE, resume=BEFORE.exists())
    old, new = OLD.load(), NEW.load()
    start = [BEFORE / "student"]
    scores = {"before": (right(start, new), right(start, old))}
    for way in WAYS:
        scores[way] = right(students(way), new), right(students(way), old)
    print("| student | new digits | old digits |\n| --- | --- | --- |")
    for way, pair in scores.items():
        print(f"| {way} | " + " | ".join(f"{100 * one.mean():.1f} %" for one in pair) + " |")
    table = "; ".join(f"{way} {100 * pair[0].mean():.1f} / {100 * pair[1].mean():.1f}" for way, pair in scores.items())
    for way, other in (("labels and past", "labels alone"), ("teacher and past", "distillation alone")):
        for domain, at, bar in (("old", 1, "> 0, interval above 0"), ("new", 0, "none; it is reported")):
            gain = paired_gain(scores[way][at], scores[other][at])
            value, ci95 = points(gain)
            print(f"{way} over {other}, {domain} digits: {shown(gain)}")
            record(
                "paradigms", f"forgetting: {domain} digits, {way} minus {other}, points", bar, value, ci95,
                at == 0 or ci95[0] > 0, "OMP_NUM_THREADS=1 python -m benchmarks.paradigms.forgetting",
                f"{len(old):,} test images of mnist and {len(new):,} of digits, 8 × 8 pixels, tiny_cnn of 24,058 parameters",
                [0, 1, 2], f"new / old accuracy: {table}",
            )  # fmt: skip


if __name__ == "__main__":
    if "LIMBECK_DATA" not in os.environ:
        raise SystemExit("LIMBECK_DATA is not set: it names the folder that holds data/mnist/*.parquet")
    main()
