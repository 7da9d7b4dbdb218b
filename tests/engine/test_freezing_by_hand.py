"""What the user froze before handing a model over (`requires_grad_(False)`) stays as it was."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from limbeck import Distillation
from limbeck.core.actors import Actors, frozen, is_held, trained
from limbeck.core.terms import Term
from limbeck.data import Items
from limbeck.engine import Freeze, Optimizer, Run, Stage, Unfreeze, Update, steps
from limbeck.engine.stages import Event
from limbeck.models.from_teacher import FromTeacher, build_model
from limbeck.objectives import HardTargets, SoftTargets
from tests.architecture.conftest import Blobs, net, same, state
from tests.engine.training_runs import quiet
from tests.experiment.tiny_classifiers import QUICK


def fit(model: nn.Module, *events: Event, optimizer: Optimizer | None = None) -> None:
    stage = Stage([Update([Term(HardTargets())])], steps(3), optimizer or Optimizer("sgd", lr=0.1), on_enter=events)
    Run({"student": trained(model)}, [stage], source=Blobs(), settings=quiet()).fit()


def half_frozen() -> nn.Sequential:
    """A net whose first layer and BatchNorm are frozen."""
    model = net(8)
    model[:2].requires_grad_(False)
    return model


@pytest.mark.parametrize("optimizer", [Optimizer("sgd", lr=0.1), Optimizer("adamw", lr=0.01, options={"weight_decay": 0.5})])
def test_frozen_parameters_and_their_batch_statistics_stay(optimizer: Optimizer) -> None:
    model = half_frozen()
    before = state(model)
    fit(model, optimizer=optimizer)
    after = model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before if name[0] in "01")
    assert not torch.equal(before["3.weight"], after["3.weight"])
    assert [p.requires_grad for p in model.parameters()] == [False] * 4 + [True] * 2  # given back as it was handed over


def test_a_part_frozen_by_an_event_keeps_its_batch_statistics() -> None:
    model = net(8)
    before = state(model)
    fit(model, Freeze("student", ("1",)))
    assert torch.equal(before["1.running_mean"], model.state_dict()["1.running_mean"])
    assert not torch.equal(before["0.weight"], model.state_dict()["0.weight"])
    assert all(p.requires_grad for p in model.parameters())


def test_dropout_inside_a_frozen_part_is_off_and_on_elsewhere() -> None:
    seen = {}

    class Noted(nn.Dropout):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen[self.p] = self.training
            return super().forward(x)

    model = nn.Sequential(nn.Sequential(nn.Linear(6, 8), Noted(0.1)), Noted(0.2), nn.Linear(8, 4))
    model[0].requires_grad_(False)
    fit(model)
    assert seen == {0.1: False, 0.2: True}


def test_only_an_event_that_names_the_module_thaws_it() -> None:
    model = half_frozen()
    before = state(model)
    fit(model, Unfreeze("student"))
    assert torch.equal(before["0.weight"], model.state_dict()["0.weight"])
    fit(model, Unfreeze("student", ("0",)))
    assert not torch.equal(before["0.weight"], model.state_dict()["0.weight"])
    assert torch.equal(before["1.weight"], model.state_dict()["1.weight"])


def test_a_model_that_is_wholly_frozen_is_refused() -> None:
    model = net(8).requires_grad_(False)
    with pytest.raises(ValueError, match=r"'student': it is to be trained, and all .* frozen .*requires_grad_\(True\)"):
        fit(model)
    data = Items.from_tensors(Blobs().x, Blobs().y)
    with pytest.raises(ValueError, match="'student': it is to be trained"):
        Distillation(model, net(16), training=QUICK).check(data)


def test_a_teacher_of_one_run_may_be_the_student_of_the_next() -> None:
    model = net(8)
    Actors({"student": trained(net(4)), "teacher": frozen(model)})
    assert not any(map(is_held, model.parameters()))
    before = state(model)
    fit(model)
    assert not same(before, model)
    Actors({"student": trained(net(4)), "teacher": frozen(model)})
    assert all(p.requires_grad for p in build_model(model, None).parameters())


def test_parts_copied_from_a_frozen_teacher_are_trained() -> None:
    teacher = net(8).requires_grad_(False)
    student = build_model(
        FromTeacher(lambda model: nn.Sequential(copy.deepcopy(model[0]), nn.ReLU(), nn.Linear(8, 4))), teacher
    )
    assert all(p.requires_grad for p in student.parameters())
    assert not any(p.requires_grad for p in teacher.parameters())


def test_every_seed_and_arm_of_a_distillation_keeps_what_was_frozen() -> None:
    data, student = Items.from_tensors(Blobs().x, Blobs().y), half_frozen()
    job = Distillation(student, net(16), terms=[Term(SoftTargets())], training=QUICK, seeds=(0, 1))
    job.fit(data)
    for models in job.arms.values():
        for model in models:
            for name in ("0.weight", "1.weight", "1.running_mean", "1.running_var"):
                assert torch.equal(model.state_dict()[name], student.state_dict()[name])
            assert not torch.equal(model.state_dict()["3.weight"], student.state_dict()["3.weight"])
