"""A model that changes its inputs in place changes nothing for the others."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from limbeck.core.actors import Actors, frozen, trained
from limbeck.core.criterion import Criterion
from limbeck.core.input_guard import InputGuard
from limbeck.core.reference_module import module_of
from limbeck.core.teachers import Ensemble
from limbeck.core.terms import Term
from limbeck.engine import Optimizer, Run, Stage, Update, steps
from limbeck.objectives import HardTargets, Hint, SoftTargets
from tests.architecture.conftest import Blobs, net, same, state
from tests.engine.training_runs import quiet

X = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))


class InPlace(nn.Module):
    """A net that normalises what it is given, in training or in both modes."""

    def __init__(self, width: int = 8, *, only_training: bool = False, in_place: bool = True) -> None:
        super().__init__()
        self.net, self.only_training, self.in_place = net(width, norm=False), only_training, in_place

    def forward(self, x: Tensor) -> Tensor:
        if self.only_training and not self.training:
            return self.net(x)
        return self.net(x.sub_(0.5).div_(0.25) if self.in_place else (x - 0.5) / 0.25)


def fit(student: nn.Module, teacher: nn.Module, *terms: Term) -> dict[str, Tensor]:
    stage = Stage([Update(list(terms) or [Term(HardTargets()), Term(SoftTargets())])], steps(4), Optimizer("sgd", lr=0.1))
    Run({"student": trained(student), "teacher": frozen(teacher)}, [stage], source=Blobs(), settings=quiet()).fit()
    return state(student)


@pytest.mark.parametrize("only_training", [False, True])
def test_the_teacher_sees_what_the_data_holds(only_training: bool) -> None:
    changed = fit(InPlace(only_training=only_training), net(16))
    plain = fit(InPlace(only_training=only_training, in_place=False), net(16))
    assert all(torch.equal(changed[name], plain[name]) for name in plain)


def test_a_teacher_in_place_leaves_the_students_inputs_alone() -> None:
    terms = [Term(SoftTargets()), Term(HardTargets()), Term(Hint(), student="0", teacher="net.0")]
    changed, plain = (fit(net(8), InPlace(16, in_place=each), *terms) for each in (True, False))
    assert all(torch.equal(changed[name], plain[name]) for name in plain)


def test_the_batch_of_a_loop_of_ones_own_stays_as_it_is() -> None:
    x, y = X.clone(), torch.arange(4)
    criterion = Criterion([Term(SoftTargets()), Term(HardTargets())], InPlace(), net(16), example=(x, y))
    for _ in range(3):
        criterion((x, y))["loss"].backward()
    assert torch.equal(x, X)


def test_the_members_of_an_ensemble_see_the_same_inputs() -> None:
    actors = Actors({"a": frozen(InPlace()), "b": frozen(net(4))})
    both, x = module_of(Ensemble(["a", "b"]), actors), X.clone()
    found = both(x)
    plain = Actors({"a": frozen(InPlace(in_place=False)), "b": frozen(net(4))})
    assert torch.allclose(found, module_of(Ensemble(["a", "b"]), plain)(X.clone()))


def test_a_model_that_changes_its_inputs_later_or_behind_the_copy_is_named() -> None:
    guard, x = InputGuard(), X.clone()
    guard.run("student", True, x, lambda given: given + 1)
    with pytest.raises(ValueError, match=r"actor 'student' changes its inputs in place.*x = x - mean"):
        guard.run("student", True, x, lambda given: given.add_(1))
    with pytest.raises(ValueError, match="actor 'teacher' changes its inputs"):
        guard.run("teacher", True, x, lambda _: x.add_(1))


@pytest.mark.parametrize("change", [lambda x: x.data.mul_(0.5), lambda x: x.numpy().__imul__(0.5)])
def test_changes_that_count_no_version_are_seen(change: Callable[[Tensor], object]) -> None:
    guard, inputs = InputGuard(), X.clone()
    for _ in range(3):
        guard.run("student", True, inputs, change)
    assert torch.equal(inputs, X)


def test_mappings_are_compared_tensor_by_tensor_and_only_what_changes_is_copied() -> None:
    guard = InputGuard()
    inputs = {"ids": torch.arange(3), "wave": {"left": torch.zeros(2)}}
    for _ in range(3):
        guard.run("student", True, inputs, lambda given: given["wave"]["left"].add_(1))
        guard.run("teacher", False, inputs, lambda given: given["ids"].sum())
    assert inputs["wave"]["left"].tolist() == [0, 0]
    assert guard.changing == {"student"}
    assert guard.run("teacher", False, inputs, lambda given: given["ids"]) is inputs["ids"]


def test_the_guard_costs_microseconds() -> None:
    guard, x = InputGuard(), torch.randn(128, 3, 32, 32)
    guard.run("student", True, x, lambda given: given)
    began = time.process_time()
    for _ in range(1000):
        guard.run("student", True, x, lambda given: given)
    assert (time.process_time() - began) / 1000 < 1e-3  # a copy of the images would take as long


def test_frozen_teachers_are_as_before() -> None:
    teacher = InPlace(16)
    before = state(teacher)
    fit(InPlace(), teacher)
    assert same(before, teacher)
