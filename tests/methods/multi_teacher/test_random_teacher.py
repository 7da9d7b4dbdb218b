"""Three teachers of digits, one of which has learned random labels: who loses its weight, and what the student learns."""

from __future__ import annotations

import json

import pytest
import torch

from limbeck import Distillation, Training, frozen, methods, models, steps
from limbeck.data import Items
from limbeck.engine import Optimizer, Settings
from tests.architecture import runs


@pytest.fixture(scope="module")
def teachers() -> dict[str, torch.nn.Module]:
    images, labels = runs.digits("train")
    wrong = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))]
    found = {}
    for seed, (name, given) in enumerate({"a": labels, "b": labels, "random": wrong}.items()):
        torch.manual_seed(seed)
        model = models.get("tiny_cnn", width=16, size=8)
        found[f"teachers.{name}"] = runs.learn(model, images, given, count=60 if name != "random" else 120)
    return found


def student_of(teachers: dict[str, torch.nn.Module], method: str, folder: object) -> torch.nn.Module:
    images, labels = runs.digits("train")
    train = Items.from_tensors(images, torch.full_like(labels, -100), classes=10)
    optimizer = Optimizer("adamw", lr=1e-2)
    job = Distillation(
        lambda: models.get("tiny_cnn", width=8, size=8),
        actors={name: frozen(model) for name, model in teachers.items()},
        training=Training(steps(60), batch_size=64, optimizer=optimizer, settings=Settings(progress=False, device="cpu")),
        control=False,
        folder=folder,
        **methods.call(method, {"alpha": 1.0}),
    )
    return job.fit(train)


def test_the_one_that_agrees_with_nobody_loses_its_weight_and_the_student_hardly_anything(teachers, tmp_path):
    alone = {name: runs.accuracy(model) for name, model in teachers.items()}
    assert alone["teachers.random"] < 0.2 < 0.8 < min(alone["teachers.a"], alone["teachers.b"])
    good = {name: model for name, model in teachers.items() if "random" not in name}
    without = runs.accuracy(student_of(good, "averaged_teachers", tmp_path / "good"))
    survived = runs.accuracy(student_of(teachers, "agreeing_teachers", tmp_path / "agreeing"))
    weights = mean_weights(tmp_path / "agreeing")
    assert weights["teachers.random"] < 0.1
    assert weights["teachers.a"] == pytest.approx(weights["teachers.b"], abs=0.1)
    assert survived > without - 0.02


def mean_weights(folder):
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    last = [line["weights"] for line in lines if line.get("weights")][-1]
    return {name.removeprefix("soft_targets."): found["mean"] for name, found in last.items()}
