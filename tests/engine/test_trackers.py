"""Trackers know the run, the training, the settings and the verdict; one that cannot be used is refused at once."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from torch import nn

from limbeck import Distillation, Settings, Training
from limbeck.engine import steps
from limbeck.engine.trackers import check_trackers, flat
from limbeck.recipe import RecipeError
from limbeck.runs import run_recipe
from limbeck.utils.optional_packages import MissingPackageError
from tests import tiny
from tests.experiment.test_shared_items import part


class Wandb(ModuleType):
    """What Accelerate calls of `wandb`, kept in lists."""

    def __init__(self) -> None:
        super().__init__("wandb")
        self.inits: list[dict[str, Any]] = []
        self.settings: list[dict[str, Any]] = []
        self.values: list[dict[str, Any]] = []
        self.finished = 0
        self.config = SimpleNamespace(update=lambda values, **_: self.settings.append(dict(values)))

    def init(self, **options: Any) -> Any:
        self.inits.append(options)
        return SimpleNamespace(log=lambda values, **_: self.values.append(dict(values)), finish=self._finish)

    def _finish(self) -> None:
        self.finished += 1


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch) -> Wandb:
    module = Wandb()
    monkeypatch.setitem(sys.modules, "wandb", module)
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: module if name == "wandb" else find(name, *rest))
    return module


def job(folder: Path | None, *trackers: str) -> Distillation:
    training = Training(steps(2), batch_size=8, settings=Settings(progress=False, trackers=trackers, log_every=1))
    return Distillation(nn.Linear(6, 2), nn.Linear(6, 2), training=training, folder=folder, name="flowers", seeds=(3,))


def test_wandb_gets_project_name_settings_values_and_verdict(wandb: Wandb, tmp_path: Path) -> None:
    distillation = job(tmp_path / "run", "wandb")
    distillation.fit(part(0, 100))
    verdict = distillation.evaluate(part(100, 150))
    assert [(one["project"], one["name"]) for one in wandb.inits] == [
        ("flowers", "student, seed 3"),
        ("flowers", "control, seed 3"),
        ("flowers", "verdict"),
    ]
    assert all(Path(one["dir"]).is_relative_to(tmp_path / "run") for one in wandb.inits)
    assert {"run": "flowers", "arm": "student", "seed": 3, "batch_size": 8}.items() <= wandb.settings[0].items()
    assert {"soft_targets", "loss"} <= set(wandb.values[0])
    assert wandb.values[-1]["student/accuracy"] == verdict.student.metric
    assert any(verdict.sentence()[:50] in str(one.get("verdict")) for one in wandb.settings)
    assert wandb.settings[-1]["report"].endswith("report.html")
    assert wandb.finished == 3


def test_tensorboard_gets_settings_and_verdict_as_text(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    distillation = job(tmp_path / "run", "tensorboard")
    distillation.fit(part(0, 100))
    distillation.evaluate(part(100, 150))
    (training,) = (tmp_path / "run" / "checkpoints" / "seed-3-student").rglob("events.out.tfevents.*")
    assert EventAccumulator(str(training)).Reload().Tags()["tensors"] == ["settings/text_summary"]
    (verdict,) = (tmp_path / "run" / "checkpoints" / "verdict").rglob("events.out.tfevents.*")
    events = EventAccumulator(str(verdict)).Reload()
    assert "student/accuracy" in events.Tags()["scalars"]
    assert "verdict/text_summary" in events.Tags()["tensors"]


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(ValueError, match="trackers: there is no 'wandbb'; nearest: wandb"):
        Settings(trackers=("wandbb",))
    with pytest.raises(RecipeError, match=r"training\.trackers: .*there is no 'tensorbord'; nearest: tensorboard"):
        tiny.recipe('training.trackers=["tensorbord"]')


@pytest.mark.parametrize("field", ["training", "teacher.training"])
def test_a_missing_package_is_refused_before_a_teacher_is_trained(field: str, tmp_path: Path) -> None:
    with pytest.raises(MissingPackageError, match="trackers: clearml is not installed: pip install clearml"):
        run_recipe(tiny.recipe(f'{field}.trackers=["clearml"]'), tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()
    job(None, "clearml").check(part(0, 100))  # without a folder nothing is tracked
    with pytest.raises(MissingPackageError, match="pip install comet-ml"):
        check_trackers(["comet_ml"])


def test_settings_become_flat_values() -> None:
    found = flat({"a": {"b": 1, "c": [1, 2]}, "d": "x" * 300, "e": None, "f": True, "g": {}})
    assert found == {"a.b": 1, "a.c": "[1, 2]", "d": "x" * 250, "e": "null", "f": True, "g": "{}"}
