"""The methods of self-distillation beside each other and beside label smoothing, on one network.

    python -m benchmarks.paradigms.self_methods        # needs LIMBECK_DATA; resumes

fashion_mnist with 2,000 labels, a network of 24,058 parameters, 40 epochs for all. A born-again network trains twice as long,
its second generation as long as the others. Predictions are kept under runs/benchmarks/self_methods.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.bars import record
from benchmarks.paradigms.online import points, shown
from limbeck import Distillation, Training, epochs, methods, models
from limbeck.data import Items, load_items
from limbeck.engine import Optimizer, Settings
from limbeck.evaluation.statistics import paired_gain
from limbeck.tasks import Classification

FOLDER = Path("runs/benchmarks/self_methods")
COMMAND = "OMP_NUM_THREADS=1 python -m benchmarks.paradigms.self_methods"
SEEDS, LABELS, EPOCHS = (0, 1, 2), 2_000, 40
CROP: list[Any] = [{"random_crop": {"padding": 2}}, "horizontal_flip"]
ARMS: dict[str, dict[str, Any]] = {
    "plain": {},
    "label_smoothing": {},
    "ps_kd": {},
    "dlb": {},
    "mean_teacher": {"decay": 0.99},
    "cs_kd": {},
    "virtual_teacher": {},
    "born_again": {"generations": 2},
}


def load(split: str) -> Items:
    return load_items(f"{os.environ['LIMBECK_DATA']}/data/fashion_mnist/{split}.parquet")


def training(arm: str) -> Training:
    """40 epochs as steps of 64; batches that overlap show half as many new items, so half the epochs are as many steps."""
    views: dict[str, Any] = {"default": CROP} | ({"partner": ["same_class", *CROP]} if arm == "cs_kd" else {})
    settings = Settings(progress=False, device="cpu", threads=1, trackers=())
    length = epochs(EPOCHS / 2 if arm == "dlb" else EPOCHS)
    return Training(length, 64, views, Optimizer("adamw", 3e-3, "cosine"), settings=settings, overlap=arm == "dlb")


def right(arm: str, seed: int, train: Items, test: Items) -> np.ndarray:
    """Which test items the network of this arm gets right; it is trained if it was not before."""
    path, task, how = FOLDER / f"{arm}-{seed}.npy", Classification(), training(arm)
    if not path.exists():
        made: Any = {"terms": task.hard_terms()}
        if arm != "plain":
            made = methods.call(arm, ARMS[arm], task=task, length=how.length)
        build = functools.partial(models.get, "tiny_cnn", width=16, channels=1)
        kept = {**made, "evaluate": {"student": "student"}}
        model = Distillation(build, training=how, control=False, seeds=[seed], **kept).fit(train)
        FOLDER.mkdir(parents=True, exist_ok=True)
        np.save(path, (task.outputs(model, test).argmax(-1) == test.target).numpy().astype(float))
    return np.load(path)


def main() -> None:
    train, test = load("train").keep_labels(LABELS, seed=0), load("test")
    scores = {}
    for arm in ARMS:
        items = train.labelled()
        scores[arm] = np.stack([right(arm, seed, items, test) for seed in SEEDS])
        print(f"{arm}: {100 * scores[arm].mean():.2f} %", flush=True)
    data = f"fashion_mnist, {LABELS:,} labels, tiny_cnn of 24,058 parameters, {EPOCHS} epochs of batches of 64"
    for arm in [name for name in ARMS if name != "plain"]:
        gain = paired_gain(scores[arm], scores["plain"])
        value, ci95 = points(gain)
        note = f"{100 * scores[arm].mean():.2f} %, plain {100 * scores['plain'].mean():.2f} %"
        if arm != "label_smoothing":
            note += f"; over label smoothing {shown(paired_gain(scores[arm], scores['label_smoothing']))}"
        figure = f"{arm}: accuracy gained over the plain network, points"
        print(f"{figure}: {shown(gain)}; {note}", flush=True)
        record("paradigms", figure, "none; it is reported", value, ci95, True, COMMAND, data, SEEDS, note)


if __name__ == "__main__":
    main()
