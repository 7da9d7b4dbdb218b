"""Rules by sample and by time, against fixed weights, where plain distillation harms or helps little.

    python -m benchmarks.paradigms.dynamic                   # fashion_mnist; needs LIMBECK_DATA
    python -m benchmarks.paradigms.dynamic --data digits     # seconds a training

A student far smaller than its teacher. Every rule is held against plain distillation with the fixed weights 0.1 and 0.9, and
against the same terms without the rule, with weights fixed at what those of the rule sum to. Plain networks of three stages,
float32, one thread. Results are kept under runs/benchmarks/dynamic, so that a stopped benchmark goes on.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.bars import record
from benchmarks.paradigms.small_images import Bench, Recipe, answers, load, rows
from limbeck import methods, models
from limbeck.core.terms import Term
from limbeck.evaluation.statistics import interval, paired_gain
from limbeck.objectives import HardTargets, SoftTargets

FOLDER = Path("runs/benchmarks/dynamic")
COMMAND = "OMP_NUM_THREADS=1 python -m benchmarks.paradigms.dynamic"


@dataclass(frozen=True)
class Setting:
    """What is trained on what.

    Attributes:
        data: name of the data set.
        labels: of the student; the teacher has learned all.
        large, small: builders of teacher and student.
        text: of the networks, for the results.
    """

    data: str
    labels: int
    large: Callable[[], nn.Module]
    small: Callable[[], nn.Module]
    teacher: Recipe
    student: Recipe
    seeds: tuple[int, ...]
    text: str

    @property
    def described(self) -> str:
        return f"{self.data}, {self.labels:,} labels, {self.text}, {self.student.count:,} steps of {self.student.batch_size}"


CNN = functools.partial(models.get, "tiny_cnn")
SETTINGS_BY_DATA = {
    "fashion_mnist": Setting(
        "fashion_mnist",
        6_000,
        functools.partial(CNN, width=24),
        functools.partial(CNN, width=8, separable=True),
        Recipe(1_400, 128),
        Recipe(800, 64),
        (0, 1, 2),
        "53k-parameter teacher that has learned 60,000, 1.4k-parameter student",
    ),
    "digits": Setting(
        "digits",
        1_437,
        functools.partial(CNN, width=24, size=8),
        functools.partial(CNN, width=3, size=8),
        Recipe(400, 64),
        Recipe(400, 64),
        tuple(range(10)),
        "53k-parameter teacher, 1k-parameter student",
    ),
}
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
PLAIN, BAR = "0.1 and 0.9", "above zero with its interval, for one rule by sample"
AGAINST = {"WSLD": "1 and 2.25", "easy by labels, difficulty": "0.5 and 0.5", "easy by labels, entropy": "0.5 and 0.5"}


def fixed(labels: float, soft: float) -> list[Term]:
    return [Term(HardTargets(), weight=labels), Term(SoftTargets(temperature=4), weight=soft)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=list(SETTINGS_BY_DATA), default="fashion_mnist")
    setting = SETTINGS_BY_DATA[parser.parse_args().data]
    torch.set_num_threads(1)
    train = load(setting.data, "train")
    bench = Bench(FOLDER / setting.data, load(setting.data, "test"))
    teacher = bench.teacher("teacher", setting.large, train, setting.teacher, seed=0)
    print(f"teacher: {100 * bench.accuracy(answers(teacher, bench.test).numpy()):.2f} %", flush=True)
    items = rows(train, 0, setting.labels)

    def arm(name: str, terms: Any) -> np.ndarray:
        given = {"teacher": teacher}
        return np.stack(
            [bench.right(name, seed, setting.small, terms, items, setting.student, given) for seed in setting.seeds]
        )

    labels = arm("labels", lambda: [Term(HardTargets())])
    plain = {name: arm(name, lambda weights=weights: fixed(*weights)) for name, weights in FIXED.items()}
    show("labels", labels)
    for name, scores in plain.items():
        show(name, scores, labels)
    points(setting, "plain distillation (0.1 and 0.9, T = 4) minus labels alone", "none; the regime", plain[PLAIN], labels)
    for name, (method, given) in RULES.items():
        scores = arm(name, lambda method=method, given=given: list(methods.call(method, given)["terms"]))
        show(f"{name} against labels", scores, labels)
        for against in dict.fromkeys((PLAIN, AGAINST.get(name, PLAIN))):
            show(f"{name} against {against}", scores, plain[against])
            points(setting, f"{name} minus the fixed weights {against}", BAR, scores, plain[against])


def points(setting: Setting, figure: str, bar: str, scores: np.ndarray, against: np.ndarray) -> None:
    gain = paired_gain(scores, against)
    ends, more = [100 * end for end in gain.ci95], "" if setting.data == "fashion_mnist" else f" --data {setting.data}"
    met, name = bar != BAR or gain.ci95[0] > 0, f"{figure}, {setting.data}, points"
    record("paradigms", name, bar, 100 * gain.value, ends, met, COMMAND + more, setting.described, setting.seeds)


def show(arm: str, scores: np.ndarray, against: np.ndarray | None = None) -> None:
    value, ends = interval(scores)
    text = f"{arm}: {100 * value:.2f} % [{100 * ends[0]:.2f}, {100 * ends[1]:.2f}]"
    if against is not None:
        gain = paired_gain(scores, against)
        text += f", {100 * gain.value:+.2f} [{100 * gain.ci95[0]:.2f}, {100 * gain.ci95[1]:.2f}]"
    print(text, flush=True)


if __name__ == "__main__":
    main()
