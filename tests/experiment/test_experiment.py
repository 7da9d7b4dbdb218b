"""What all trainings of an experiment share."""

from __future__ import annotations

import torch
from torch import nn

from limbeck import Distillation, Term, objectives
from limbeck.core.actors import Role
from limbeck.engine import steps
from limbeck.engine.stages import terms_stage
from limbeck.experiment.arm_stages import control_actors
from tests.experiment.tiny_classifiers import QUICK, Own, equal


def test_a_function_draws_other_weights_for_every_seed(teacher: nn.Module) -> None:
    job = Distillation(lambda: Own(4), teacher, training=QUICK, seeds=(0, 1))
    assert equal(job.experiment.new_module("student", 0), job.experiment.new_module("student", 0))
    assert not equal(job.experiment.new_module("student", 0), job.experiment.new_module("student", 1))


def test_a_model_that_a_stage_trains_is_an_assistant_and_others_are_teachers(teacher: nn.Module) -> None:
    made = {"assistant": lambda: Own(8), "second": Own(16)}
    terms = [Term(objectives.SoftTargets(), student="assistant", teacher="teacher")]
    stages = [
        terms_stage(terms, steps(1), trains="assistant", actors=made),
        terms_stage([Term(objectives.HardTargets())], steps(1)),
    ]
    experiment = Distillation(Own(4), teacher, stages=stages, training=QUICK).experiment
    actors = experiment.actors(experiment.plan, seed=0)
    assert {name: actor.role for name, actor in actors.items()} == {
        "student": Role.TRAINED, "teacher": Role.FROZEN, "assistant": Role.TRAINED, "second": Role.FROZEN,
    }  # fmt: skip
    again = experiment.actors(experiment.plan, seed=0)
    other = experiment.actors(experiment.plan, seed=1)
    assert equal(actors["assistant"].model, again["assistant"].model)
    assert not equal(actors["assistant"].model, other["assistant"].model)
    assert control_actors(experiment.plan) == {"student"}


def test_building_models_leaves_the_global_generator_alone(teacher: nn.Module) -> None:
    experiment = Distillation(lambda: Own(4), teacher, training=QUICK).experiment
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    experiment.new_module("student", 0)
    assert torch.equal(torch.rand(3), expected)
