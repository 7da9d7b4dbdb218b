"""Tiny models and data for the seven runs: what matters is who learns from whom, not how well."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from limbeck import models
from limbeck.core.batch import Batch
from limbeck.core.source import BatchPosition, Source
from tests.architecture import runs


class Blobs(Source):
    """Labelled points around one centre for each class: enough for a tiny net to learn."""

    samples, steps_per_epoch = 256, 16

    def __init__(self, batch_size: int = 16, features: int = 6, classes: int = 4, labelled: bool = True) -> None:
        generator = torch.Generator().manual_seed(7)
        centres = 3 * torch.randn(classes, features, generator=generator)
        self.y = torch.arange(self.samples) % classes
        self.x = centres[self.y] + torch.randn(self.samples, features, generator=generator)
        self.batch_size, self.labelled = batch_size, labelled

    def batch(self, place: BatchPosition) -> Batch:
        rows = torch.randperm(self.samples, generator=place.random_generator("rows"))[: self.batch_size]
        rows = place.part_of(rows)
        return Batch({"default": self.x[rows]}, target=self.y[rows] if self.labelled else None, keys=rows, index=rows)


def net(width: int = 8, features: int = 6, classes: int = 4, norm: bool = True, seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed + width)
    layers = [
        nn.Linear(features, width),
        nn.BatchNorm1d(width) if norm else nn.Identity(),
        nn.ReLU(),
        nn.Linear(width, classes),
    ]
    return nn.Sequential(*layers)


def state(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}


def same(before: dict[str, Tensor], module: nn.Module) -> bool:
    """Bit-identical, parameters and buffers alike."""
    return all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())


@pytest.fixture
def blobs() -> Blobs:
    return Blobs()


@pytest.fixture(scope="session")
def digits_teacher() -> nn.Module:
    """A small CNN with BatchNorm that tells most digits apart."""
    torch.manual_seed(0)
    return runs.learn(models.get("tiny_cnn", width=8, size=8), *runs.digits("train"), count=120)


@pytest.fixture(scope="session")
def weights_folder(digits_teacher: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the weights of that teacher, in `teacher.safetensors`."""
    folder = tmp_path_factory.mktemp("weights")
    models.save_weights(digits_teacher, folder / "teacher.safetensors")
    return folder
