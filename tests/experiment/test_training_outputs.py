"""Models of several outputs: which one is trained, and outputs that a model has in training mode only."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from limbeck import Distillation
from limbeck.core.actors import trained
from limbeck.data import Items
from limbeck.engine import steps
from limbeck.experiment.checks.training_outputs import check_training_output
from limbeck.experiment.teacher_training import train_teacher
from limbeck.models import registry
from limbeck.runs import evaluate_run, run_recipe
from tests import tiny
from tests.experiment.tiny_classifiers import QUICK, Own, equal, weights


class Named(Own):
    """Logits by name; those of the other name learn nothing."""

    def forward(self, x: Tensor) -> Any:
        return {"wrong": torch.zeros(len(x), 10), "out": super().forward(x)}


class Auxiliary(Own):
    """Two outputs in training mode, and one in evaluation mode."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.norm = nn.BatchNorm1d(10)

    def forward(self, x: Tensor) -> Any:
        logits = self.norm(super().forward(x))
        return (logits, logits / 2) if self.training else logits


def job(student: nn.Module, **options: Any) -> Distillation:
    return Distillation(student, Own(8), training=QUICK, control=False, **options)


def test_a_model_of_several_outputs_in_training_mode_is_found_before_it(train: Items) -> None:
    with pytest.raises(ValueError, match=r"student: in training mode the model returned a tuple of .* choose one"):
        job(Auxiliary(4)).check(train)
    assert isinstance(job(Auxiliary(4), student_options={"output": "(0)"}).fit(train), nn.Module)
    with pytest.raises(ValueError, match="helper: in training mode the model returned a tuple"):
        train_teacher(lambda: Auxiliary(4), train, QUICK, name="helper")


def test_the_model_that_is_tried_stays_as_it_is() -> None:
    actor = trained(nn.Sequential(nn.Dropout(), Auxiliary(4)).eval(), output="(0)")
    before, random = weights(actor.model), torch.get_rng_state()
    check_training_output("student", actor, torch.rand(2, 64, generator=torch.Generator()))
    assert all(map(torch.equal, before, weights(actor.model)))
    assert torch.equal(random, torch.get_rng_state())
    assert not any(module.training for module in actor.model.modules())


def test_a_teacher_learns_by_the_output_that_is_chosen(train: Items) -> None:
    short = replace(QUICK, length=steps(4))
    plain = train_teacher(lambda: Own(8), train, short)
    assert equal(plain, train_teacher(lambda: Named(8), train, short, output="out"))
    with pytest.raises(ValueError, match=r"the teacher .* returned dict with the keys wrong, out"):
        train_teacher(lambda: Named(8), train, short)
    teach = Distillation(Own(4), Named(8), training=QUICK, control=False, teacher_options={"output": "out"})
    assert isinstance(teach.fit(train), nn.Module)


def test_a_run_trains_and_evaluates_a_teacher_of_several_outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_parts", dict(registry._parts))
    registry.register("named")(lambda width=8: Named(width))
    recipe = tiny.recipe('teacher.model="named"', "teacher.args={}", 'teacher.output="out"', "control=false")
    kept = run_recipe(recipe, tmp_path / "run", progress=False).teacher
    assert kept is not None
    found = evaluate_run(tmp_path / "run", "digits", split="test").verdict.teacher
    assert found is not None
    assert found.metric == kept.metric
