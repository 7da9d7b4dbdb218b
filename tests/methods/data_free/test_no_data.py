"""Each method trains a student from the teacher alone: a data set that is opened fails the test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from limbeck import Distillation, Training, methods, models, steps
from limbeck.data import Dataset, Items
from limbeck.engine import Optimizer, Settings
from limbeck.tasks import Classification

SHAPE = [1, 8, 8]
QUICK: dict[str, dict[str, Any]] = {
    "zero_shot_kd": {"samples": 16, "steps": 2, "rounds": 1},
    "deep_inversion": {"samples": 16, "steps": 2, "rounds": 2, "adversary": 1.0, "every": 2},
    "contrastive_inversion": {"samples": 16, "steps": 2, "every": 2, "width": 4, "meta": 0.5},
    "belief_matching": {"width": 4, "repeat": 2},
    "dafl": {"width": 4},
    "dfad": {"width": 4, "repeat": 2},
    "dfq": {"width": 4, "repeat": 2},
}


def opened(*_: Any, **__: Any) -> None:
    raise AssertionError("a data set was opened")


def teacher() -> nn.Module:
    torch.manual_seed(5)
    return models.get("tiny_cnn", width=4, size=8).eval()


def student() -> nn.Module:
    return models.get("tiny_cnn", width=3, size=8)


def job(method: str, build: Callable[[], nn.Module] = teacher, **changes: Any) -> Distillation:
    given = {"shape": SHAPE, "batch_size": 8, **QUICK[method], **changes}
    made: dict[str, Any] = dict(methods.call(method, given, task=Classification(), length=steps(3)))
    settings = Settings(progress=False, device="cpu", threads=1, trackers=())
    training = Training(batch_size=8, optimizer=Optimizer("adam", 1e-2), settings=settings)
    return Distillation(student, build(), control=False, training=training, **made)


def test_every_method_is_here() -> None:
    assert set(QUICK) == {name for name in methods.registry.names() if methods.paradigm(name) == "data_free"}


@pytest.mark.parametrize("method", QUICK)
def test_the_teacher_is_only_asked(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for owner, name in ((Items, "__init__"), (Items, "fetch"), (Dataset, "__init__"), (Dataset, "batch")):
        monkeypatch.setattr(owner, name, opened)
    asked: list[torch.Size] = []
    model = teacher()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.register_forward_pre_hook(lambda _, given: asked.append(given[0].shape))
    run = job(method, lambda: model)
    run.fit()
    assert asked
    assert all(shape[1:] == torch.Size(SHAPE) for shape in asked)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert set(run.arms) == {"student", "gaussian", "uniform"}
    weights = {arm: found[0].linear.weight for arm, found in run.arms.items()}
    assert not torch.equal(weights["student"], weights["uniform"])
    assert not torch.equal(weights["gaussian"], weights["uniform"])


def test_the_controls_take_the_students_steps_on_noise_and_train_no_generator() -> None:
    plans = job("dfq").experiment.plans
    for name in ("gaussian", "uniform"):
        (stage,) = plans[name].stages
        (update,) = stage.updates
        assert (update.trains, update.repeat, type(update.source).__name__.lower()) == (("student",), 2, name)
        assert [term.name for term in update.terms] == [term.name for term in plans["student"].stages[0].updates[1].terms]


def test_a_teacher_without_batchnorm_is_refused_with_the_remedy() -> None:
    def plain() -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))

    with pytest.raises(ValueError, match=r"no BatchNorm layers.* dfq: statistics: 0 leaves this term out"):
        job("dfq", plain).fit()
    job("dfq", plain, statistics=0).fit()


def test_the_features_of_another_teacher_are_named() -> None:
    named = r"unknown tap 'fc'.*nearest.* features: names what the teacher's classifier reads"
    with pytest.raises(ValueError, match=rf"{named}.*; dafl: activation: 0 leaves this term out"):
        job("dafl", features="input(fc)").fit()
    with pytest.raises(ValueError, match=rf"{named}.*; contrastive_inversion: contrast: 0 leaves this term out"):
        job("contrastive_inversion", features="input(fc)").fit()
