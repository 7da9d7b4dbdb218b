"""Students that see no data: each method beside the same student on noise, and on real data.

    python -m benchmarks.paradigms.data_free digits      # embedded data; kept and resumed
    python -m benchmarks.paradigms.data_free heart       # needs LIMBECK_DATA
    python -m benchmarks.paradigms.data_free mnist       # needs LIMBECK_DATA

Noise goes through the student, terms and steps of the method; where several methods have the same terms and steps, it is
trained once. What is compared with is the better one of Gaussian and uniform noise, in the mean over the seeds. Real data:
the same student on labels.

The settings of dfq on digits were chosen by accuracy on the training digits, which the students do not see, with the seed 0;
the temperature of belief_matching likewise, with the seed 10, in 1,000 steps.
The settings of heart were chosen on the seeds 0 to 2, and its figures are of the seeds 3 to 5.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.bars import record
from benchmarks.paradigms.small_images import SETTINGS, load, seeded
from limbeck import methods, models
from limbeck.core.actors import Actor, frozen, trained
from limbeck.core.terms import Term
from limbeck.data import Dataset, Items, TableEncoder, load_items
from limbeck.engine import Optimizer, Run, Stage, Update, steps
from limbeck.evaluation.statistics import Gain, paired_gain
from limbeck.models.weights import load_weights, save_weights
from limbeck.objectives import HardTargets
from limbeck.tasks import Classification

FOLDER = Path("runs/benchmarks/data_free")
COMMAND = "OMP_NUM_THREADS=1 python -m benchmarks.paradigms.data_free"
SEEDS = (0, 1, 2)
NOISE = ("uniform", "gaussian")


@dataclass(frozen=True)
class Method:
    """A method as it is measured.

    Attributes:
        name: in the registry.
        count: steps; of a generator, if there is one.
        arguments: of the method.
        bar: what its accuracy is held against, None: nothing.
        lr: of the student's Adam.
    """

    name: str
    count: int
    arguments: Mapping[str, Any] = field(default_factory=dict)
    bar: float | None = None
    lr: float = 1e-2


@dataclass(frozen=True)
class Setting:
    """Data, models and methods of one part.

    Attributes:
        teacher, student: build the models.
        shape: arguments of all methods.
        epochs: of the teacher.
        real: steps of the student on real data.
        seeds: of the students; there is one teacher.
    """

    name: str
    data: str
    train: Items
    test: Items
    teacher: Callable[[], nn.Module]
    student: Callable[[], nn.Module]
    shape: Mapping[str, Any]
    methods: Mapping[str, Method]
    teacher_steps: int
    real: int
    batch_size: int = 128
    precision: str = "bfloat16"
    seeds: Sequence[int] = SEEDS

    @property
    def folder(self) -> Path:
        return FOLDER / self.name


class Laboratory:
    """Trains what a setting asks for; what was trained before is read from its folder."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        setting.folder.mkdir(parents=True, exist_ok=True)
        self.teacher = self._teacher()

    def _teacher(self) -> nn.Module:
        path, model = self.setting.folder / "teacher.safetensors", seeded(self.setting.teacher, 0)
        if path.exists():
            load_weights(model, path)
        else:
            self._run({"student": trained(model)}, [self._labels(self.setting.teacher_steps, 3e-3)], 0)
            save_weights(model, path)
        return model.eval()

    def _labels(self, count: int, lr: float) -> Stage:
        source = Dataset(self.setting.train, self.setting.batch_size)
        return Stage([Update([Term(HardTargets())], source=source)], steps(count), Optimizer("adamw", lr, "cosine"))

    def _run(self, actors: Mapping[str, Actor], stages: Sequence[Stage], seed: int) -> None:
        settings = replace(SETTINGS, precision=self.setting.precision)  # type: ignore[arg-type]
        Run(actors, stages, seed=seed, settings=settings).fit()

    def outputs(self, arm: str, seed: int, train: Callable[[nn.Module], None]) -> np.ndarray:
        """The logits of a student on the test items; it is trained if it was not before."""
        path = self.setting.folder / f"{arm}-{seed}.npy"
        if not path.exists():
            student = seeded(self.setting.student, seed)
            train(student)
            np.save(path, Classification().outputs(student.eval(), self.setting.test).float().numpy())
            print(f"{self.setting.name}: {arm}, seed {seed}, kept", flush=True)
        found: np.ndarray = np.load(path)
        return found

    def right(self, outputs: np.ndarray) -> np.ndarray:
        """1 where the prediction is right."""
        assert isinstance(self.setting.test.target, torch.Tensor)
        return (outputs.argmax(-1) == self.setting.test.target.numpy()).astype(np.float64)

    def arm(self, arm: str, seeds: Sequence[int]) -> np.ndarray:
        """The outputs of all seeds: of a method by its key, of `KEY.noise`, or of `real`."""
        key, _, noise = arm.partition(".")
        if noise:
            key = next(each for each in self.setting.methods if self.terms_of(each) == self.terms_of(key))
            arm = f"{key}.{noise}"

        def train(student: nn.Module, seed: int) -> None:
            if key == "real":
                self._run({"student": trained(student)}, [self._labels(self.setting.real, 3e-3)], seed)
            else:
                self._distil(student, key, noise, seed)

        return np.stack([self.outputs(arm, seed, lambda student, seed=seed: train(student, seed)) for seed in seeds])

    def call(self, key: str) -> Any:
        """What the method decides, with its student's optimizer."""
        method = self.setting.methods[key]
        given = {"batch_size": self.setting.batch_size, **self.setting.shape, **method.arguments}
        known = methods.parameters(method.name)
        given = {name: value for name, value in given.items() if name in known}
        return methods.call(method.name, given, task=Classification(), length=steps(method.count))

    def terms_of(self, key: str) -> tuple[Any, ...]:
        """What the student learns by and for how many steps: of equal ones, noise is trained once."""
        (stage,) = self.call(key)["stages"]
        update = stage.updates[-1]
        terms = [(term.objective.name, vars(term.objective).get("temperature"), term.weight(0)) for term in update.terms]
        return (*terms, update.repeat * int(stage.length.count), self.setting.methods[key].lr)

    def _distil(self, student: nn.Module, key: str, noise: str, seed: int) -> None:
        made = self.call(key)
        (stage,) = made["stages"]
        stage = replace(stage, optimizer=Optimizer("adam", self.setting.methods[key].lr, "cosine"))
        actors = {"teacher": frozen(self.teacher), "student": trained(student)}
        if noise:
            (source,) = made["controls"][noise]["source"].values()
            stage = replace(stage, updates=[replace(stage.updates[-1], source=source)])
        else:
            learners = {name for update in stage.updates for name in update.trains}
            for name, build in made["actors"].items():
                model = seeded(build, seed + 1000)
                actors[name] = trained(model) if name in learners else frozen(model)
        self._run(actors, [stage], seed)


def points(gain: Gain) -> tuple[float, tuple[float, float]]:
    return 100 * gain.value, (100 * gain.ci95[0], 100 * gain.ci95[1])


def interval(values: np.ndarray) -> tuple[float, float]:
    """Of a mean over seeds and items `[seeds, items]`, by bootstrap over both."""
    rng = np.random.default_rng(0)
    seeds, items = values.shape
    drawn = [values[rng.integers(seeds, size=seeds)][:, rng.integers(items, size=items)].mean() for _ in range(2000)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(low), float(high)


def measure(setting: Setting, only: Sequence[str] = (), noise: Sequence[str] = NOISE) -> None:
    """Trains all arms and records accuracy and the gain over noise of each method."""
    laboratory = Laboratory(setting)
    teacher = laboratory.right(Classification().outputs(laboratory.teacher, setting.test).float().numpy()).mean()
    real = laboratory.right(laboratory.arm("real", setting.seeds))
    print(f"{setting.name}: teacher {100 * teacher:.2f} %, real data {100 * real.mean():.2f} %", flush=True)
    best: tuple[float, str] = (0.0, "")
    for key in only or setting.methods:
        own = laboratory.right(laboratory.arm(key, setting.seeds))
        noises = {name: laboratory.right(laboratory.arm(f"{key}.{name}", setting.seeds)) for name in noise}
        better = max(noises, key=lambda name: float(noises[name].mean()))
        note = f"teacher {100 * teacher:.1f} %, the same student on real data {100 * real.mean():.1f} %; " + ", ".join(
            f"{name} noise {100 * values.mean():.1f} %" for name, values in noises.items()
        )
        keep_accuracy(setting, key, own, note, real)
        value, ci95 = points(paired_gain(own, noises[better]))
        keep(setting, f"{key} − {better} noise, points", "> 0, interval above 0", value, ci95, ci95[0] > 0, note)
        best = max(best, (float(own.mean()), key))
    if next(iter(setting.methods)) in (only or setting.methods):  # the first is expected to be the best
        keep_best(setting, best[1], laboratory.right(laboratory.arm(best[1], setting.seeds)), real)


def keep_accuracy(setting: Setting, key: str, own: np.ndarray, note: str, real: np.ndarray) -> None:
    bar, value = setting.methods[key].bar, 100 * own.mean()
    low, high = interval(own)
    relative = "none; it is reported" if bar is None else f"≥ {bar:.1f} %"
    if setting.name == "mnist":
        bar = 90 * real.mean()
        relative = f"≥ 90 % of real data, {bar:.1f} %"
    keep(setting, f"{key}, accuracy, %", relative, value, (100 * low, 100 * high), bar is None or value >= bar, note)


def keep_best(setting: Setting, key: str, own: np.ndarray, real: np.ndarray) -> None:
    low, high = interval(own)
    value, share = 100 * own.mean(), 100 * own.mean() / real.mean()
    if setting.name == "mnist":
        ends = (100 * low / real.mean(), 100 * high / real.mean())
        keep(setting, "best method ÷ real data, %", "≥ 98 %", share, ends, share >= 98, f"{key}, accuracy {value:.2f} %")
    else:
        ends = (100 * low, 100 * high)
        keep(
            setting, f"best method ({key}), accuracy, %", "≥ 96.5 %", value, ends, value >= 96.5, f"{share:.1f} % of real data"
        )


def keep(setting: Setting, figure: str, bar: str, value: float, ci95: Sequence[float], met: bool, note: str) -> None:
    figure = f"{setting.name} without data: {figure}"
    print(f"{figure}: {value:.4g} [{ci95[0]:.4g}, {ci95[1]:.4g}] ({bar}: {'met' if met else 'not met'}); {note}", flush=True)
    record("privacy", figure, bar, value, ci95, met, " ".join([COMMAND, *sys.argv[1:]]), setting.data, setting.seeds, note)


# --- digits --------------------------------------------------------------------------------------------------------------

GENERATOR = {"width": 16, "latent": 256, "generator_lr": 1e-2}
FAST = {**GENERATOR, "generator_lr": 4e-2}
DIGITS = {
    "dfq": Method("dfq", 600, FAST),
    "deep_inversion": Method("deep_inversion", 2000, {"samples": 1024, "rounds": 2, "steps": 100}, 93.0),
    "dfad": Method("dfad", 600, FAST, 92.2),
    "dafl": Method("dafl", 400, {**GENERATOR, "repeat": 5, "temperature": 4.0}, 88.5),
    "belief_matching": Method("belief_matching", 600, {**FAST, "attention": 0.0, "temperature": 4.0, "repeat": 5}, 93.3),
    "zero_shot_kd": Method("zero_shot_kd", 2000, {"samples": 2048, "rounds": 2, "steps": 50}, 91.4),
    "contrastive_inversion": Method(
        "contrastive_inversion", 2000, {**GENERATOR, "samples": 256, "steps": 50, "every": 200, "statistics": 3.0}
    ),
}


def digits() -> Setting:
    return Setting(
        "digits",
        "digits, 8 × 8; CNN with BatchNorm of width 16 → 12; 2,000 or 3,000 student steps on batches of 128",
        load("digits", "train"),
        load("digits", "test"),
        lambda: models.get("tiny_cnn", width=16, size=8),
        lambda: models.get("tiny_cnn", width=12, size=8),
        {"shape": [1, 8, 8], "classes": 10},
        DIGITS,
        teacher_steps=800,
        real=800,
    )


def mnist() -> Setting:
    count = 2000
    return Setting(
        "mnist",
        "mnist; CNN with BatchNorm of width 16 → 8; 4,000 student steps on batches of 128",
        load("mnist", "train"),
        load("mnist", "test"),
        lambda: models.get("tiny_cnn", width=16, size=28),
        lambda: models.get("tiny_cnn", width=8, size=28),
        {"shape": [1, 28, 28], "classes": 10},
        {"dfq": Method("dfq", count // 5, {"width": 16})},
        teacher_steps=1500,
        real=1500,
    )


# --- heart disease -------------------------------------------------------------------------------------------------------

# many inputs in few steps each: they stay as far apart as the noise from which they start
HEART = {
    "zero_shot_kd": Method("zero_shot_kd", 1000, {"samples": 4096, "rounds": 4, "steps": 20, "temperature": 4.0}, lr=5e-3),
    "deep_inversion": Method("deep_inversion", 1000, {"samples": 4096, "rounds": 4, "steps": 50, "statistics": 0.0}, lr=5e-3),
    "dfad": Method("dfad", 200, {"width": 32}, lr=5e-3),
}


def heart_disease() -> Setting:
    train, test = (
        load_items(f"{os.environ['LIMBECK_DATA']}/data/heart_disease/{split}.parquet") for split in ("train", "test")
    )
    encode = TableEncoder.fit(train)
    train, test = encode(train), encode(test)
    inputs = len(encode.names)
    return Setting(
        "heart",
        "heart_disease, four hospitals, 552 patients; MLP of 64, 64 units → 16; 1,000 student steps on batches of 64",
        train,
        test,
        lambda: models.get("mlp", inputs=inputs, hidden=[64, 64], dropout=0.2, classes=2),
        lambda: models.get("mlp", inputs=inputs, hidden=[16], classes=2),
        {"shape": [inputs], "low": -2.0, "high": 2.0, "classes": 2},
        HEART,
        teacher_steps=300,
        real=300,
        batch_size=64,
        precision="float32",
        seeds=(3, 4, 5),
    )


def auc(outputs: np.ndarray, target: np.ndarray) -> float:
    """The area under the ROC curve, of logits `[seeds, items, 2]`, in the mean over the seeds."""
    found = []
    for scores in outputs[..., 1] - outputs[..., 0]:
        order = scores.argsort(kind="stable")
        ranks = np.empty(len(scores))
        ranks[order] = np.arange(1, len(scores) + 1)
        for value in np.unique(scores):  # equal scores share their rank
            ranks[scores == value] = ranks[scores == value].mean()
        positive = target == 1
        count = int(positive.sum())
        found.append((ranks[positive].sum() - count * (count + 1) / 2) / (count * (len(target) - count)))
    return float(np.mean(found))


def heart(only: Sequence[str] = (), noise: Sequence[str] = NOISE) -> None:
    setting = heart_disease()
    laboratory, target = Laboratory(setting), np.asarray(setting.test.target)
    real = laboratory.arm("real", setting.seeds)
    teacher = auc(Classification().outputs(laboratory.teacher, setting.test).float().numpy()[None], target)
    rng = np.random.default_rng(0)
    draws = [
        (rng.integers(len(setting.seeds), size=len(setting.seeds)), rng.integers(len(target), size=len(target)))
        for _ in range(1000)
    ]

    def ends(value: Callable[[np.ndarray, np.ndarray], float]) -> tuple[float, float]:
        low, high = np.quantile([value(*draw) for draw in draws], [0.025, 0.975])
        return float(low), float(high)

    for key in only or setting.methods:
        own, noises = (
            laboratory.arm(key, setting.seeds),
            {name: laboratory.arm(f"{key}.{name}", setting.seeds) for name in noise},
        )
        better = max(noises, key=lambda name: auc(noises[name], target))

        def at(values: np.ndarray, seeds: np.ndarray, items: np.ndarray) -> float:
            return auc(values[seeds][:, items], target[items])

        note = f"AUC {auc(own, target):.3f}, on real data {auc(real, target):.3f}, teacher {teacher:.3f}; " + ", ".join(
            f"{name} noise {auc(values, target):.3f}" for name, values in noises.items()
        )
        share = 100 * auc(own, target) / auc(real, target)
        found = ends(lambda seeds, items, own=own: 100 * at(own, seeds, items) / at(real, seeds, items))
        keep(setting, f"{key}, AUC ÷ that on real data, %", "≥ 97 %", share, found, share >= 97, note)
        other = noises[better]
        gain = 100 * (auc(own, target) - auc(other, target))
        found = ends(lambda seeds, items, own=own, other=other: 100 * (at(own, seeds, items) - at(other, seeds, items)))
        keep(setting, f"{key} − {better} noise, points of AUC", "> 0, interval above 0", gain, found, found[0] > 0, note)


PARTS: dict[str, Callable[[Sequence[str], Sequence[str], Sequence[int]], None]] = {
    "digits": lambda only, noise, seeds: measure(replace(digits(), seeds=seeds or SEEDS), only, noise),
    "mnist": lambda only, noise, seeds: measure(replace(mnist(), seeds=seeds or SEEDS), only, noise),
    "heart": lambda only, noise, seeds: heart(only, noise),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("methods", nargs="*", help="only these of its methods")
    parser.add_argument("--noise", nargs="+", choices=NOISE, default=NOISE, help="what the methods are compared with")
    parser.add_argument("--seeds", nargs="+", type=int, default=(), help="of digits and mnist")
    args = parser.parse_args()
    PARTS[args.part](args.methods, args.noise, args.seeds)


if __name__ == "__main__":
    main()
