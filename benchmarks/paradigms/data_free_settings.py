"""What the benchmark of data-free methods trains: data, models, and the settings of each method."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from benchmarks.paradigms.small_images import load
from limbeck import models
from limbeck.data import Items, TableEncoder, load_items
from limbeck.recipe import read_yaml

ROOT = Path(__file__).parents[2]
FOLDER = Path("runs/benchmarks/data_free")
SEEDS = (0, 1, 2)


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
    arguments: Mapping[str, Any]
    bar: float | None = None
    lr: float = 1e-2


@dataclass(frozen=True)
class Setting:
    """Data, models and methods of one part.

    Attributes:
        teacher, student: build the models.
        shape: arguments of all methods.
        teacher_steps: of the teacher on labels.
        real: steps of the student on real data.
        seeds: of the students; there is one teacher.
        view: transforms of the images where teacher and student learn labels.
        channels_last: memory layout of all models.
        points: at which accuracy is measured during a method; 0: at its end only.
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
    view: Sequence[Any] = ()
    channels_last: bool = False
    points: int = 0

    @property
    def folder(self) -> Path:
        return FOLDER / self.name


# --- digits --------------------------------------------------------------------------------------------------------------


def of_recipe(recipe: str, bar: float | None = None, **changed: Any) -> Method:
    """A method as a built-in recipe has it, whatever the shape of its inputs; `changed` are fields of `Method`."""
    content = read_yaml((ROOT / "recipes" / f"{recipe}.yaml").read_text(encoding="utf-8"))
    ((name, given),) = content["method"].items()
    arguments = {key: value for key, value in given.items() if key not in ("shape", "classes", "batch_size")}
    training = content["training"]
    return replace(Method(name, training["steps"], arguments, bar, training["optimizer"]["lr"]), **changed)


DIGITS = {
    "dfq": of_recipe("dfq"),
    "deep_inversion": of_recipe("deep_inversion", 93.0),
    "dfad": of_recipe("dfad", 92.2),
    "dafl": of_recipe("dafl", 88.5),
    "belief_matching": of_recipe("belief_matching", 93.3),
    "zero_shot_kd": of_recipe("zero_shot_kd", 91.4),
    "contrastive_inversion": of_recipe("contrastive_inversion"),
}
# none was changed for this network but the number of steps of one
PLACES = DIGITS | {"belief_matching": of_recipe("belief_matching", 93.3, count=400)}


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


def digits_places() -> Setting:
    return replace(
        digits(),
        name="digits, classifier of places",
        data=(
            "digits, 8 × 8; CNN with BatchNorm whose classifier reads places, 16 → 12; 2,000 or 3,000 student steps on "
            "batches of 128"
        ),
        teacher=lambda: models.get("flat_cnn", width=16, size=8),
        student=lambda: models.get("flat_cnn", width=12, size=8),
        methods=PLACES,
    )


def mnist() -> Setting:
    return Setting(
        "mnist",
        "mnist; CNN with BatchNorm whose classifier reads places, 16 → 8; 2,000 or 3,000 student steps on batches of 128",
        load("mnist", "train"),
        load("mnist", "test"),
        lambda: models.get("flat_cnn", width=16),
        lambda: models.get("flat_cnn", width=8),
        {"shape": [1, 28, 28], "classes": 10},
        PLACES,
        teacher_steps=1500,
        real=1500,
    )


def cifar10() -> Setting:
    return Setting(
        "cifar10",
        "cifar10, 50,000 images for the teacher; ResNet-20 → ResNet-8; batches of 128",
        load("cifar10", "train"),
        load("cifar10", "test"),
        lambda: models.get("resnet_cifar", depth=20),
        lambda: models.get("resnet_cifar", depth=8),
        {"shape": [3, 32, 32], "classes": 10},
        {"contrastive_inversion": of_recipe("cifar10_without_data")},
        teacher_steps=12 * 390,
        real=12 * 390,
        seeds=(0,),
        view=[{"random_crop": {"padding": 4}}, "horizontal_flip"],
        channels_last=True,
        points=8,
    )


# --- heart disease -------------------------------------------------------------------------------------------------------

# many inputs in few steps each: they stay as far apart as the noise from which they start
HEART = {
    "zero_shot_kd": of_recipe("heart_without_data"),
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
