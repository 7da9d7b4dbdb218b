"""Which plans read no data."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest
import torch

from limbeck import Distillation, methods, models
from limbeck.core.source import Source
from limbeck.core.terms import Term
from limbeck.data import Dataset, Items
from limbeck.data.sources import Gaussian, Mixture, Pool
from limbeck.engine import Stage, Update, steps
from limbeck.experiment.plan import make_plan
from limbeck.objectives import SoftTargets
from limbeck.tasks import Classification
from tests.core.networks import student, teacher

NOISE = Gaussian([1, 8, 8], batch_size=8)


def plan(*sources: Source | None) -> Any:
    stages = [Stage([Update([Term(SoftTargets())], source=source)], steps(1)) for source in sources]
    return make_plan(student(), teacher(), stages=stages)


def data() -> Dataset:
    return Dataset(Items.from_tensors(torch.rand(16, 1, 8, 8), torch.arange(16) % 10), 8)


def test_noise_and_what_is_made_of_it_is_no_data() -> None:
    assert plan(NOISE, Pool(NOISE)).without_data
    assert plan(Mixture([NOISE, Pool(NOISE)])).without_data


@pytest.mark.parametrize("source", [lambda: None, data, lambda: Pool(data()), lambda: Mixture([NOISE, data()])])
def test_one_update_that_reads_data_is_enough(source: Any) -> None:
    assert not plan(NOISE, source()).without_data


WITHOUT_DATA = ("dfq", "dfad", "belief_matching", "dafl", "deep_inversion", "contrastive_inversion", "zero_shot_kd")


@pytest.mark.parametrize(("shape", "remedy"), [([3, 8, 8], r"\[1, 8, 8\]"), ([10], "that of one of its inputs")])
@pytest.mark.parametrize("name", WITHOUT_DATA)
def test_a_shape_that_the_teacher_does_not_take_is_named_before_the_training(name: str, shape: list[int], remedy: str) -> None:
    networks = {who: models.get("tiny_cnn", width=4, size=8, classes=10) for who in ("student", "teacher")}
    accepted = inspect.signature(methods.registry[name]).parameters
    given = {"task": Classification(), "samples": 8, "batch_size": 8, "length": steps(1), "shape": shape}
    made = methods.registry[name](**{key: value for key, value in given.items() if key in accepted})
    with pytest.raises(ValueError, match=rf"{name}: shape is {re.escape(str(shape))}, and teacher .* set shape to {remedy}"):
        Distillation(**networks, **made, control=False).check(None)


def test_noise_of_another_shape_is_named_too() -> None:
    stage = Stage([Update([Term(SoftTargets())], source=Gaussian([2, 8, 8], batch_size=8))], steps(1))
    networks = {who: models.get("tiny_cnn", width=4, size=8, classes=10) for who in ("student", "teacher")}
    with pytest.raises(ValueError, match=r"shape is \[2, 8, 8\], and teacher does not take such inputs"):
        Distillation(**networks, stages=[stage], control=False).check(None)
