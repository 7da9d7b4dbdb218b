"""The teachers of `benchmarks.paradigms.heterogeneous`: each is trained once, and kept with its accuracy.

    python -m benchmarks.paradigms.heterogeneous_teachers [mobilenet] [vit]        # needs LIMBECK_DATA

mobilenet  ImageNet's MobileNetV2 with a new head, fine-tuned on 2,000 labels of CIFAR-10, which it reads at 96 × 96 pixels
vit        a vision transformer of 469,000 parameters, its blocks projected onto a ResNet-56, on 50,000 images and labels
"""

from __future__ import annotations

import argparse
import functools
import os
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.paradigms.small_images import load
from limbeck import Distillation, Term, Training, epochs, methods, models
from limbeck.data import Items
from limbeck.engine import Optimizer, Settings
from limbeck.objectives import HardTargets
from limbeck.tasks import Classification
from limbeck.teacher_cache import CacheConfig

FOLDER = Path("runs/benchmarks/heterogeneous")
LABELS, FEW, COUNT = 5_000, 2_000, 20_000
PROJECTED = {"blocks.1": "layer2", "blocks.3": "layer3"}
CHOSEN = {"weight": 10.0, "temperature": 1.0}  # on 2,000 training images that no arm learns from
CROP: list[Any] = [{"random_crop": {"padding": 4}}, "horizontal_flip"]
VIT: dict[str, Any] = {"dim": 96, "depth": 4, "heads": 4, "patch": 8}
MOBILENET = functools.partial(models.get, "mobilenet_v2", classes=10, resize=96)


@functools.cache
def data(labels: int) -> Items:
    """20,000 training images, of which some are labelled: all parts have the same images, and labels of fewer among them."""
    return load("cifar10", "train").keep_labels(COUNT, seed=0).labelled().keep_labels(labels, seed=0)


def settings(precision: str = "float32") -> Settings:
    return Settings(progress=False, device="cpu", threads=1, trackers=(), precision=precision)


def cached(name: str, views: int) -> CacheConfig:
    return CacheConfig(path=FOLDER / f"cache-{name}", views=views)


def resnet56() -> nn.Module:
    model = models.get("resnet_cifar", depth=56)
    models.load_weights(model, f"{os.environ['LIMBECK_DATA']}/teachers/resnet56-cifar10.safetensors")
    return model.eval()


def mobilenet() -> nn.Module:
    """ImageNet's weights, all of them fine-tuned."""

    def build() -> nn.Module:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that the head is new
            path = f"{os.environ['LIMBECK_DATA']}/teachers/mobilenet_v2-imagenet.safetensors"
            model = MOBILENET()
            models.load_weights(model, path, fresh_head=True)
        return model

    training = Training(epochs(8), 64, CROP, Optimizer("adamw", 5e-4, "cosine"), settings=settings())
    options = {"channels_last": True}
    job = Distillation(build, terms=[Term(HardTargets())], training=training, control=False, student_options=options)
    return job.fit(data(FEW).labelled())


def vit() -> nn.Module:
    """Learns from a ResNet-56, whose outputs and features on two views of each image are computed once. It sees all training
    images, as the ResNet did: a teacher that knows less than its student would learn by itself has nothing to give."""
    training, task = Training(epochs(12), 64, CROP, settings=settings()), Classification()
    arguments = {"features": PROJECTED, "order": "one_shot", **CHOSEN}
    made: Any = methods.call("progressive_projection", arguments, task=task, length=training.length)
    options = {"channels_last": True, "precision": torch.bfloat16}
    job = Distillation(
        functools.partial(models.get, "vit_tiny", **VIT), resnet56(), training=training, control=False,
        teacher_options=options, cache=cached("resnet56-all", 2), **made,
    )  # fmt: skip
    return job.fit(load("cifar10", "train").labelled())


BUILD = {"mobilenet": MOBILENET, "vit": functools.partial(models.get, "vit_tiny", **VIT)}
TRAIN = {"mobilenet": mobilenet, "vit": vit}


def teacher(name: str) -> nn.Module:
    """A teacher by name; it is trained if it was not before."""
    path = FOLDER / f"{name}.safetensors"
    if not path.exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        models.save_weights(TRAIN[name](), path)
    model = BUILD[name]()
    models.load_weights(model, path)
    return model.eval()


@functools.cache
def accuracy(name: str) -> float:
    """Of a teacher on the test images."""
    test, model = load("cifar10", "test"), resnet56() if name == "resnet56" else teacher(name)
    return float((Classification().outputs(model, test).argmax(-1) == test.target).double().mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[*TRAIN, []], default=[])
    torch.set_num_threads(1)
    for name in parser.parse_args().names or TRAIN:
        print(f"{name}: {100 * accuracy(name):.2f} %", flush=True)


if __name__ == "__main__":
    main()
