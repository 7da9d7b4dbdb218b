"""A teacher of another architecture: what its students gain over the same networks on labels alone, at equal steps.

    python -m benchmarks.paradigms.heterogeneous [vit] [cnn] [imagenet]      # needs LIMBECK_DATA; resumes
    python -m benchmarks.paradigms.heterogeneous vit --arms deit ofa_kd      # only these methods

CIFAR-10, 20,000 of its training images. All arms take as many steps; the arm `alone` learns the labels only, in new views in
each epoch, and the others see one or two views of each image, whose teacher outputs are cached. The arm `longer` is `alone` for
as many operations, those of the teacher's pass included, as the others. Weights and temperature were chosen on other training
images. Lengths were not: after first figures of one seed on test images the trainings of `vit` and `imagenet` were made longer,
for all arms. What is trained is kept under runs/benchmarks/heterogeneous.

vit        ResNet-56 → a vision transformer of 214,218 parameters, 5,000 labels
cnn        a vision transformer that was taught by ResNet-56 → ResNet-8, 5,000 labels
imagenet   MobileNetV2 of ImageNet, fine-tuned on 2,000 labels → ResNet-8, with the same 2,000 labels
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.bars import record
from benchmarks.paradigms.heterogeneous_teachers import (
    CHOSEN,
    COUNT,
    CROP,
    FEW,
    FOLDER,
    LABELS,
    PROJECTED,
    accuracy,
    cached,
    data,
    resnet56,
    settings,
)
from benchmarks.paradigms.heterogeneous_teachers import teacher as trained_teacher
from benchmarks.paradigms.online import points, shown
from benchmarks.paradigms.parts import parts_parser
from benchmarks.paradigms.small_images import load
from limbeck import Distillation, Training, epochs, methods, models, steps
from limbeck.engine import Length
from limbeck.engine.training import default_optimizer
from limbeck.evaluation.model_cost import macs
from limbeck.evaluation.statistics import paired_gain
from limbeck.tasks import Classification

COMMAND = "OMP_NUM_THREADS=1 python -m benchmarks.paradigms.heterogeneous"
SEEDS = (0, 1, 2)
BATCH = 64
ALONE, LONGER = "alone", "longer"
Build = Callable[..., nn.Module]


@dataclass(frozen=True)
class Part:
    """One teacher and one student.

    Attributes:
        title: of the figures.
        student: builds it; `{"distilled": True}` and exits come from the arm.
        teacher: builds it.
        teacher_name: of its weights and its cache.
        labels: number of labelled images.
        methods: arm to method and its arguments; the first is the one whose bar is recorded.
        bar: what the gain of the first arm has to be, points.
        precision: of the training.
        text: what is trained.
        exits: of the student of `ofa_kd`.
        epochs: passes of the distilled students over the images.
        views: of each image that a distilled student sees; the teacher's outputs on them are cached.
    """

    title: str
    student: str
    args: Mapping[str, Any]
    teacher: Callable[[], nn.Module]
    teacher_name: str
    labels: int
    methods: Mapping[str, tuple[str, Mapping[str, Any]]]
    bar: float | None
    precision: str
    text: str
    exits: Sequence[str] = ()
    epochs: int = 4
    views: int = 2


PARTS = {
    "vit": Part(
        "ResNet-56 → vision transformer", "vit_tiny", {"dim": 64, "depth": 4, "heads": 4, "patch": 8}, resnet56, "resnet56",
        LABELS,
        {
            "one shot": ("progressive_projection", {"features": PROJECTED, "order": "one_shot", **CHOSEN}),
            "progressive": ("progressive_projection", {"features": PROJECTED, **CHOSEN}),
            "hinton": ("hinton", {"temperature": 1.0}),
            "deit": ("deit", {}),
            "ofa_kd": ("ofa_kd", {}),
        },
        3.0, "float32", "vit_tiny of 214,218 parameters (T = 1 and weight 10 were chosen on 2,000 other training images)",
        ("blocks.1", "blocks.3"),
    ),
    "cnn": Part(
        "vision transformer → ResNet-8", "resnet_cifar", {"depth": 8}, functools.partial(trained_teacher, "vit"), "vit", LABELS,
        {
            "hinton": ("hinton", {}),
            "cross_architecture": (
                "cross_architecture", {"features": {"layer3": "blocks.3"}, "attention": {"layer3": "blocks.3.attn"}}
            ),
        },
        3.0, "bfloat16", "ResNet-8 of 75,290 parameters", ("layer1", "layer2"), epochs=12, views=4,
    ),
    "imagenet": Part(
        "MobileNetV2 of ImageNet → ResNet-8", "resnet_cifar", {"depth": 8}, functools.partial(trained_teacher, "mobilenet"),
        "mobilenet", FEW, {"hinton": ("hinton", {})}, 5.0, "bfloat16",
        "MobileNetV2 (2,236,682 parameters at 96 × 96 pixels) → ResNet-8 (75,290 parameters)", epochs=12, views=4,
    ),
}  # fmt: skip


def training(part: Part, length: Length) -> Training:
    return Training(length, BATCH, CROP, default_optimizer(), settings=settings(part.precision))


def right(name: str, part: Part, arm: str, seed: int) -> np.ndarray:
    """Which test images the student of an arm gets right; it is trained if it was not before."""
    path, task, items = FOLDER / f"{name}-{arm.replace(' ', '_')}-{seed}.npy", Classification(), data(part.labels)
    if not path.exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        how = training(part, length(part, arm))
        given: dict[str, Any] = {"training": how, "control": False, "seeds": [seed]}
        if arm in (ALONE, LONGER):
            job = Distillation(student(part, arm), terms=task.hard_terms(), **given)
            model = job.fit(items.labelled())
        else:
            method, arguments = part.methods[arm]
            made: Any = methods.call(method, arguments, task=task, length=how.length)
            options = {"channels_last": True, "precision": torch.bfloat16} if part.teacher_name != "vit" else {}
            given |= {"teacher_options": options, "cache": cached(part.teacher_name, part.views), **made}
            model = Distillation(student(part, arm), part.teacher(), **given).fit(items)
        test = load("cifar10", "test")
        np.save(path, (task.outputs(model, test).argmax(-1) == test.target).numpy().astype(float))
        print(f"{name} {arm} {seed}: {100 * np.load(path).mean():.2f} %", flush=True)
    return np.load(path)


def count(part: Part) -> int:
    """The steps of the students but for `longer`."""
    return part.epochs * COUNT // BATCH


def length(part: Part, arm: str) -> Length:
    if arm == LONGER:
        return steps(round(more_compute(part) * count(part)))
    return steps(count(part)) if arm == ALONE else epochs(part.epochs)


def more_compute(part: Part) -> float:
    """What a distilled student costs in multiply-accumulates, with the teacher's pass over each view, in steps on labels. A
    step is three forward passes; projections are not counted."""
    image = torch.rand(1, 3, 32, 32)
    teacher, student = (macs(model, image) for model in (part.teacher(), models.get(part.student, **part.args)))
    return 1 + part.views * COUNT * teacher / (3 * count(part) * BATCH * student)


def student(part: Part, arm: str) -> Callable[[], nn.Module]:
    args = {**part.args, **({"distilled": True} if arm == "deit" else {})}
    if arm == "ofa_kd":
        return lambda: models.with_exits({"model": part.student, "args": args}, part.exits)
    return functools.partial(models.get, part.student, **args)


def scores(name: str, part: Part, arms: Sequence[str]) -> dict[str, np.ndarray]:
    """Which test images are right, `[seeds, items]`, by arm; seeds come one after the other, so that arms stay even."""
    found: dict[str, list[np.ndarray]] = {arm: [] for arm in arms}
    for seed in SEEDS:
        for arm in arms:
            found[arm].append(right(name, part, arm, seed))
    return {arm: np.stack(rows) for arm, rows in found.items()}


def run(name: str, part: Part, chosen: Sequence[str]) -> None:
    arms = scores(name, part, [ALONE, *chosen, LONGER])
    above = f"teacher {100 * accuracy(part.teacher_name):.2f} %, alone {100 * arms[ALONE].mean():.2f} %"
    for arm in chosen:
        found, first = arms[arm], arm == next(iter(part.methods))
        note = f"{above}, {arm} {100 * found.mean():.2f} %"
        figure = f"{part.title}: accuracy of {arm} minus that of the student alone"
        keep(name, part, f"{figure}, points", paired_gain(found, arms[ALONE]), part.bar if first else None, note)
        note += f", longer {100 * arms[LONGER].mean():.2f} % in {more_compute(part):.1f} times the steps"
        keep(name, part, f"{figure} for as many operations, points", paired_gain(found, arms[LONGER]), None, note)
    if {"progressive", "one shot"} <= set(arms):
        gain = paired_gain(arms["progressive"], arms["one shot"])
        figure = f"{part.title}: accuracy of progressive projection minus that of one shot, points"
        note = f"progressive {100 * arms['progressive'].mean():.2f} %, one shot {100 * arms['one shot'].mean():.2f} %"
        keep(name, part, figure, gain, None, note)


def keep(name: str, part: Part, figure: str, gain: Any, bar: float | None, note: str) -> None:
    value, ci95 = points(gain)
    text = (
        f"cifar10, {part.labels:,} images with and {COUNT - part.labels:,} without labels, {part.text}, "
        f"{part.epochs} epochs of batches of {BATCH}, {part.views} cached views of each image"
    )
    met = bar is None or (value >= bar and ci95[0] > 0)
    wanted = "none; it is reported" if bar is None else f"≥ {bar:g} points"
    print(f"{figure}: {shown(gain)} ({wanted}{'' if met else ': missed'}); {note}", flush=True)
    record("paradigms", figure, wanted, value, ci95, met, f"{COMMAND} {name}", text, SEEDS, note)


def main() -> None:
    parser = parts_parser(__doc__, PARTS)
    parser.add_argument("--arms", nargs="*", default=[], help="these methods only, beside the student alone")
    given = parser.parse_args()
    torch.set_num_threads(1)
    for name in given.parts:
        run(name, PARTS[name], given.arms or list(PARTS[name].methods))


if __name__ == "__main__":
    main()
