"""Many teachers: one student from several, against the one from the best of them.

    python -m benchmarks.paradigms.multi_teacher [unlabelled] [random] [domains] [caches]     # needs LIMBECK_DATA
    python -m benchmarks.paradigms.multi_teacher unlabelled random --data digits                  # seconds a training
    python -m benchmarks.paradigms.multi_teacher files FOLDER     # test images for recipes/teacher-domains.yaml

fashion_mnist (domains: with mnist), plain networks of three stages, float32, one thread. Results are kept under
runs/benchmarks/multi_teacher, so that a stopped benchmark goes on.

unlabelled  three teachers with labels of their own, none in common, teach on other images without labels
random      the same with one teacher that has learned random labels
domains     a teacher of digits and one of clothes make a student of 20 classes without labels; multilayer perceptrons
caches      an epoch with three cached teachers against an epoch with one
"""

from __future__ import annotations

import argparse
import functools
import os
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import nn

from benchmarks.bars import record
from benchmarks.paradigms.small_images import SETTINGS, Bench, Recipe, answers, load, rows, seeded
from limbeck import methods, models
from limbeck.core.actors import trained
from limbeck.core.terms import Term
from limbeck.data import Dataset, Items
from limbeck.data.sources import Mixture
from limbeck.engine import Optimizer, Run, Stage, Update, steps
from limbeck.evaluation.statistics import interval, paired_gain
from limbeck.objectives import SoftTargets

FOLDER = Path("runs/benchmarks/multi_teacher")
COMMAND = "OMP_NUM_THREADS=1 python -m benchmarks.paradigms.multi_teacher"
SEEDS = (0, 1, 2)
LARGE, SMALL = functools.partial(models.get, "tiny_cnn", width=16), functools.partial(models.get, "tiny_cnn", width=12)


@dataclass(frozen=True)
class Setting:
    """What teachers and student are trained on.

    Attributes:
        data: name of the data set.
        labels: of each teacher, none in common.
        unlabelled: other images, which the student learns on.
        size: pixels a side.
        teacher, student: how they are trained.
        seeds: of the student.
    """

    data: str
    labels: int
    unlabelled: int
    size: int
    teacher: Recipe
    student: Recipe
    seeds: tuple[int, ...]

    @property
    def text(self) -> str:
        return (
            f"{self.data}, 24k-parameter teachers with {self.labels:,} labels each, 14k-parameter student, {self.unlabelled:,} "
            f"other images without labels, {self.student.count:,} steps of {self.student.batch_size}"
        )


SETTINGS_BY_DATA = {
    "fashion_mnist": Setting("fashion_mnist", 1_000, 12_000, 28, Recipe(400, 64), Recipe(1_500, 64), (0, 1, 2)),
    "digits": Setting("digits", 60, 1_197, 8, Recipe(150, 32), Recipe(300, 64), tuple(range(10))),
}
RULES: dict[str, dict[str, Any]] = {  # arm -> method and its arguments; no labels are used
    "mean of logits": {"averaged_teachers": {}},
    "entropy": {"eb_kd": {}},
    "agreement": {"agreeing_teachers": {}},
}


class Teachers:
    """Three teachers with labels of their own, a fourth with random ones, and the images that the student learns on."""

    def __init__(self, setting: Setting) -> None:
        train, self.setting, count = load(setting.data, "train"), setting, setting.labels
        self.bench = Bench(FOLDER / setting.data, load(setting.data, "test"))
        self.unlabelled = rows(train, 4 * count, setting.unlabelled)
        parts = [rows(train, number * count, count) for number in range(4)]
        wrong = torch.randint(10, (count,), generator=torch.Generator().manual_seed(0))
        parts[3] = Items(parts[3].storage, parts[3].keys, wrong, 10, None, parts[3].images)
        large = functools.partial(LARGE, size=setting.size)
        named = enumerate(parts)
        self.models = [self.bench.teacher(f"teacher-{k}", large, part, setting.teacher, seed=k) for k, part in named]
        self.accuracy = [self.bench.accuracy(answers(model, self.bench.test).numpy()) for model in self.models]
        print("teachers:", ", ".join(f"{100 * one:.1f} %" for one in self.accuracy), flush=True)

    def student(self, arm: str, chosen: list[int], rule: Mapping[str, dict[str, Any]]) -> np.ndarray:
        """Which test images are right, `[seeds, items]`, of students of these teachers."""
        ((name, given),) = rule.items()
        teachers = {f"teachers.{k}": self.models[k] for k in chosen}

        def terms() -> list[Term]:
            return list(methods.call(name, {**given, "alpha": 1.0})["terms"])

        items, small = self.unlabelled, functools.partial(SMALL, size=self.setting.size)
        train = self.setting.student
        return np.stack([self.bench.right(arm, seed, small, terms, items, train, teachers) for seed in self.setting.seeds])


def unlabelled(teachers: Teachers) -> None:
    best = int(np.argmax(teachers.accuracy[:3]))  # chosen on the test images, in its favour
    single = teachers.student("best single", [best], RULES["mean of logits"])
    show("best single", single)
    for arm, rule in RULES.items():
        scores = teachers.student(arm, [0, 1, 2], rule)
        gain = paired_gain(scores, single)
        show(arm, scores, single)
        if arm in ("mean of logits", "agreement", "entropy"):
            points(
                teachers.setting,
                f"accuracy of the student of three teachers ({arm}) minus that of the best single one",
                "≥ 0.5 points",
                gain,
                gain.value >= 0.005,
                "unlabelled",
                note=f"teachers {', '.join(f'{100 * one:.1f}' for one in teachers.accuracy[:3])} %",
            )


def random(teachers: Teachers) -> None:
    good = teachers.student("two good", [0, 1], RULES["mean of logits"])
    show("two good", good)
    losses = {}
    for arm, rule in RULES.items():
        scores = teachers.student(f"random {arm}", [0, 1, 3], rule)
        losses[arm] = paired_gain(scores, good)
        show(f"random {arm}", scores, good)
    plain = losses["mean of logits"]
    for arm in ("mean of logits", "entropy", "agreement"):
        weighed = arm in ("entropy", "agreement")
        points(
            teachers.setting,
            f"accuracy lost to one random teacher of three, {arm}, against the mean of the two good ones",
            "≥ −0.3 points, where the mean of logits loses more" if weighed else "none; the bar of the weighted rules",
            losses[arm],
            losses[arm].value >= -0.003 and plain.value < losses[arm].value if weighed else True,
            "random",
            note="the random teacher has learned random labels",
        )


def points(setting: Setting, figure: str, bar: str, gain: Any, met: bool, part: str, note: str | None = None) -> None:
    ends, more = [100 * end for end in gain.ci95], "" if setting.data == "fashion_mnist" else f" --data {setting.data}"
    name = f"{figure}, {setting.data}, points"
    record("paradigms", name, bar, 100 * gain.value, ends, met, f"{COMMAND} {part}{more}", setting.text, setting.seeds, note)


def show(arm: str, scores: np.ndarray, against: np.ndarray | None = None) -> None:
    value, ends = interval(scores)
    text = f"{arm}: {100 * value:.2f} % [{100 * ends[0]:.2f}, {100 * ends[1]:.2f}]"
    if against is not None:
        gain = paired_gain(scores, against)
        text += f", {100 * gain.value:+.2f} [{100 * gain.ci95[0]:.2f}, {100 * gain.ci95[1]:.2f}]"
    print(text, flush=True)


# --- domains -------------------------------------------------------------------------------------------------------------

DOMAINS = ("mnist", "fashion_mnist")
CLASSES = {"mnist": [f"digit {k}" for k in range(10)], "fashion_mnist": [f"cloth {k}" for k in range(10)]}
DOMAIN_TEACHER, DOMAIN_STUDENT = Recipe(3_000, 64, 1e-3), Recipe(8_000, 64, 1e-3)
MLP = functools.partial(models.get, "mlp", inputs=784, hidden=[256, 128])
COUNT = 60_000


def domains() -> None:
    """One student of 20 classes from two teachers of 10, with each image's domain known and not known."""
    trains = [rows(load(name, "train"), 0, COUNT) for name in DOMAINS]
    tests = [load(name, "test") for name in DOMAINS]
    benches = [Bench(FOLDER / "domains" / name, test) for name, test in zip(DOMAINS, tests, strict=True)]
    teachers = {
        f"teachers.{name}": bench.teacher("teacher", MLP, train, DOMAIN_TEACHER, seed=0)
        for name, bench, train in zip(DOMAINS, benches, trains, strict=True)
    }
    alone = [bench.scores(answers(model, bench.test).numpy()) for bench, model in zip(benches, teachers.values(), strict=True)]
    given = {"teachers": list(teachers), "classes": CLASSES, "temperature": 2.0}
    named = {"teachers": "teachers.*", "classes": CLASSES, "combine": "probabilities", "temperature": 2.0}
    arms = {"domain": ("domain_teachers", given), "certainty": ("merged_classes", named)}
    for arm, (method, arguments) in arms.items():
        found = [_domain_student(f"{arm}-{seed}", seed, trains, tests, teachers, method, arguments) for seed in SEEDS]
        for number, name in enumerate(DOMAINS):
            right = np.stack([one[number] for one in found])
            _record_domain(arm, name, right, np.stack([alone[number]] * len(SEEDS)))


def _domain_student(
    arm: str,
    seed: int,
    trains: list[Items],
    tests: list[Items],
    teachers: Mapping[str, nn.Module],
    method: str,
    arguments: dict[str, Any],
) -> list[np.ndarray]:
    """Which test images of each domain a student gets right, among all 20 classes."""
    both = Mixture([Dataset(items, DOMAIN_STUDENT.batch_size) for items in trains])
    build = functools.partial(MLP, classes=20)
    joined = replace_labels(tests)
    bench = Bench(FOLDER / "domains" / "both", joined)
    right = bench.right(
        arm, seed, build, lambda: list(methods.call(method, arguments)["terms"]), both, DOMAIN_STUDENT, dict(teachers)
    )
    return [right[: len(tests[0])], right[len(tests[0]) :]]


def replace_labels(tests: list[Items]) -> Items:
    """The test images of both domains with labels 0 to 19."""
    images = torch.cat([items.fetch(torch.arange(len(items))) for items in tests])
    labels = torch.cat([items.target + 10 * number for number, items in enumerate(tests)])
    return Items.from_tensors(images, labels, classes=20)


def _record_domain(arm: str, name: str, right: np.ndarray, alone: np.ndarray) -> None:
    ratio = right.mean() / alone.mean()
    gain = paired_gain(right, alone)
    ends = [1 + end / alone.mean() for end in gain.ci95]
    print(f"{arm}, {name}: {100 * right.mean():.2f} % of {100 * alone.mean():.2f} %, ratio {ratio:.4f} {ends}", flush=True)
    rule = "routed by domain" if arm == "domain" else "by the teachers' certainty, domains not known"
    record(
        "paradigms",
        f"accuracy of one student of 20 classes on {name} ÷ its teacher's, {rule}",
        "≥ 0.99",
        float(ratio),
        ends,
        bool(ratio >= 0.99),
        f"{COMMAND} domains",
        f"mnist + fashion_mnist, {COUNT:,} images of each without labels, two teachers of 10 classes, MLPs of 235k parameters, "
        f"{DOMAIN_STUDENT.count:,} steps of 2 × {DOMAIN_STUDENT.batch_size}",
        SEEDS,
    )


def write_files(folder: Path) -> None:
    """Writes `test.parquet`: the test images of both domains, with labels 0 to 19."""
    tables = [pq.read_table(f"{os.environ['LIMBECK_DATA']}/data/{name}/test.parquet") for name in DOMAINS]
    labels = [label.as_py() + 10 * number for number, table in enumerate(tables) for label in table["label"]]
    images = [cell for table in tables for cell in table["image"].to_pylist()]
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"image": images, "label": labels}), folder / "test.parquet")


# --- caches --------------------------------------------------------------------------------------------------------------


class Timed(Dataset):
    """A data set that records the time of each request for a batch."""

    moments: list[float]

    def batch(self, position: Any) -> Any:
        self.moments.append(time.process_time())
        return super().batch(position)


def caches(teachers: Teachers) -> None:
    """Processor time of a step with three cached teachers against one; the two take turns."""
    seconds: dict[int, list[float]] = {1: [], 3: []}
    for turn in range(6):
        for count in seconds:
            seconds[count] += _steps(teachers, count, turn)[4:]
    median = {count: statistics.median(found) for count, found in seconds.items()}
    ratio = median[3] / median[1]
    print({count: f"{1e3 * value:.2f} ms a step" for count, value in median.items()}, f"ratio {ratio:.3f}", flush=True)
    record(
        "paradigms",
        "epoch with three cached teachers ÷ epoch with one",
        "≤ 1.10",
        ratio,
        None,
        ratio <= 1.10,
        f"{COMMAND} caches",
        f"fashion_mnist, 24k-parameter teachers and student, mean of logits, batches of 128, processor time, medians "
        f"of {len(seconds[1])} steps",
        [0],
    )


def _steps(teachers: Teachers, count: int, seed: int) -> list[float]:
    bench, items = teachers.bench, teachers.unlabelled
    source = Timed(items, 128, view_count=1, view_seed=0)
    source.moments = []
    actors = {f"teachers.{k}": bench.cached(teachers.models[k], items) for k in range(count)}
    terms = [Term(SoftTargets(temperature=4), teacher={"ensemble": {"of": "teachers.*"}})]
    stage = Stage([Update(terms)], steps(34), Optimizer("adamw", 1e-3))
    Run({"student": trained(seeded(LARGE, seed)), **actors}, [stage], source=source, seed=seed, settings=SETTINGS).fit()
    return [after - before for before, after in zip(source.moments, source.moments[1:], strict=False)]


PARTS: dict[str, Callable[[Teachers], None]] = {
    "unlabelled": unlabelled,
    "random": random,
    "domains": lambda _: domains(),
    "caches": caches,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help=f"{', '.join(PARTS)}, or files FOLDER; default: all but files")
    parser.add_argument("--data", choices=list(SETTINGS_BY_DATA), default="fashion_mnist", help="of unlabelled and random")
    torch.set_num_threads(1)
    given = parser.parse_args()
    parts = given.parts or list(PARTS)
    if parts[0] == "files" and len(parts) == 2:
        write_files(Path(parts[1]))
        return
    if unknown := [part for part in parts if part not in PARTS]:
        parser.error(f"no part {unknown[0]!r}; there are {', '.join(PARTS)}, and files FOLDER")
    teachers = Teachers(SETTINGS_BY_DATA[given.data])
    for part in parts:
        PARTS[part](teachers)


if __name__ == "__main__":
    main()
