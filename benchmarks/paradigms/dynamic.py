"""Rules by sample and by time, against the same terms with a fixed weight, where plain distillation harms or helps little.

    python -m benchmarks.paradigms.dynamic     # needs LIMBECK_DATA

fashion_mnist: 6,000 labels, a teacher of 53,000 parameters that has learned all 60,000, a student of 1,400 parameters. Plain
networks of three stages, float32, one thread. Results are kept under runs/benchmarks/dynamic: a stopped benchmark goes on.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.bars import record
from benchmarks.paradigms.small_images import Bench, Recipe, answers, load, rows
from limbeck import methods, models
from limbeck.core.terms import Term
from limbeck.evaluation.statistics import interval, paired_gain
from limbeck.objectives import HardTargets, SoftTargets

FOLDER = Path("runs/benchmarks/dynamic")
COMMAND = "OMP_NUM_THREADS=1 python -m benchmarks.paradigms.dynamic"
SEEDS = (0, 1, 2)
LABELS, STUDENT = 6_000, Recipe(800, 64)
SMALL = functools.partial(models.get, "tiny_cnn", width=8, separable=True)
LARGE = functools.partial(models.get, "tiny_cnn", width=24)
DATA = (
    f"fashion_mnist, {LABELS:,} labels, 53k-parameter teacher that has learned 60,000, 1.4k-parameter student, "
    f"{STUDENT.count:,} steps of {STUDENT.batch_size}"
)
RULES: dict[str, tuple[str, dict[str, Any]]] = {  # arm -> method and arguments
    "WSLD": ("wsld", {}),
    "easy by labels, difficulty": ("easy_by_labels", {}),
    "easy by labels, entropy": ("easy_by_labels", {"by": "entropy"}),
    "CTKD": ("ctkd", {}),
    "temperature by item": ("dynamic_temperature", {}),
}
FIXED = {  # labels and teacher: the same terms without the rule; rules whose weights sum to 1 are held against halves
    "0.1 and 0.9": (0.1, 0.9),
    "0.5 and 0.5": (0.5, 0.5),
    "1 and 2.25": (1.0, 2.25),
}
AGAINST = {"WSLD": "1 and 2.25", "easy by labels, difficulty": "0.5 and 0.5", "easy by labels, entropy": "0.5 and 0.5"}


def fixed(labels: float, soft: float) -> list[Term]:
    return [Term(HardTargets(), weight=labels), Term(SoftTargets(temperature=4), weight=soft)]


def main() -> None:
    torch.set_num_threads(1)
    train = load("fashion_mnist", "train")
    bench = Bench(FOLDER, load("fashion_mnist", "test"))
    teacher = bench.teacher("teacher", LARGE, train, Recipe(1_400, 128), seed=0)
    print(f"teacher: {100 * bench.accuracy(answers(teacher, bench.test).numpy()):.2f} %", flush=True)
    items = rows(train, 0, LABELS)

    def arm(name: str, terms: Any) -> np.ndarray:
        return np.stack([bench.right(name, seed, SMALL, terms, items, STUDENT, {"teacher": teacher}) for seed in SEEDS])

    labels = arm("labels", lambda: [Term(HardTargets())])
    plain = {name: arm(name, lambda weights=weights: fixed(*weights)) for name, weights in FIXED.items()}
    show("labels", labels)
    for name, scores in plain.items():
        show(name, scores, labels)
    points(
        "plain distillation (0.1 and 0.9, T = 4) minus labels alone", "none; the regime", plain["0.1 and 0.9"], labels, met=True
    )
    for name, (method, given) in RULES.items():
        scores = arm(name, lambda method=method, given=given: list(methods.call(method, given)["terms"]))
        against = AGAINST.get(name, "0.1 and 0.9")
        show(name, scores, plain[against])
        show(f"{name} against labels", scores, labels)
        gain = paired_gain(scores, plain[against])
        figure = f"{name} minus the fixed weights {against}"
        points(figure, "above zero with its interval, for one rule by sample", scores, plain[against], met=gain.ci95[0] > 0)


def points(figure: str, bar: str, scores: np.ndarray, against: np.ndarray, *, met: bool) -> None:
    gain = paired_gain(scores, against)
    ends = [100 * end for end in gain.ci95]
    record("paradigms", f"{figure}, points", bar, 100 * gain.value, ends, met, COMMAND, DATA, SEEDS)


def show(arm: str, scores: np.ndarray, against: np.ndarray | None = None) -> None:
    value, ends = interval(scores)
    text = f"{arm}: {100 * value:.2f} % [{100 * ends[0]:.2f}, {100 * ends[1]:.2f}]"
    if against is not None:
        gain = paired_gain(scores, against)
        text += f", {100 * gain.value:+.2f} [{100 * gain.ci95[0]:.2f}, {100 * gain.ci95[1]:.2f}]"
    print(text, flush=True)


if __name__ == "__main__":
    main()
