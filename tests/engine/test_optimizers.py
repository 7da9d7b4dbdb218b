"""Optimizers by name, their options, schedules and groups of parameters."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from limbeck.core.schedules import Cosine, Warmup
from limbeck.engine import Optimizer
from limbeck.engine.optimizers import has_sparse_gradients, take_step
from limbeck.engine.sharding import load_optimizer
from tests.engine.training_runs import accuracy, quiet, train


@pytest.mark.parametrize(
    ("name", "lr", "options"),
    [
        ("sgd", 0.1, {"momentum": 0.9, "nesterov": True}),
        ("AdamW", 1e-2, {"betas": [0.9, 0.99]}),
        ("nadam", 1e-2, {}),
        ("RMSprop", 1e-2, {}),
    ],
)
def test_any_optimizer_of_torch_by_name(name: str, lr: float, options: dict[str, object]) -> None:
    assert accuracy(train(quiet(), Optimizer(name, lr=lr, options=options)).actors["student"].model) > 0.9


def test_unknown_optimizers_and_options_are_refused_with_a_remedy() -> None:
    with pytest.raises(ValueError, match=r"unknown optimizer 'adamv'; nearest: adam"):
        Optimizer("adamv")
    with pytest.raises(ValueError, match=r"optimizer 'adamw': lr is -1; expected 0 or more"):
        Optimizer("adamw", lr=-1)
    with pytest.raises(ValueError, match=r"optimizer 'sgd'.*betas"):
        Optimizer("sgd", options={"betas": (0.9, 0.99)}).build([nn.Parameter(torch.zeros(2))])


def test_the_rate_follows_its_schedule() -> None:
    spec = Optimizer("sgd", lr=0.5, schedule=Warmup(0.1, then=Cosine()))
    built = spec.build([nn.Parameter(torch.zeros(2))])
    assert spec.set_rate(built, 0.0) == 0.0
    assert spec.set_rate(built, 0.05) == pytest.approx(0.25)
    assert spec.set_rate(built, 0.1) == pytest.approx(0.5)
    assert built.param_groups[0]["lr"] == pytest.approx(0.5)
    assert spec.set_rate(built, 1.0) == pytest.approx(0.0, abs=1e-12)


def test_weight_decay_can_leave_vectors_alone() -> None:
    model = nn.Linear(3, 2)
    groups = Optimizer("sgd", options={"weight_decay": 0.1}, decay_vectors=False).build(list(model.parameters())).param_groups
    assert [g["weight_decay"] for g in groups] == [0.1, 0.0]
    assert groups[1]["params"] == [model.bias]


def test_scaled_parameters_learn_at_their_share_of_the_rate() -> None:
    slow, fast = (nn.Parameter(torch.ones(2, 2)) for _ in range(2))
    spec = Optimizer("sgd", lr=0.5)
    built = spec.build([slow, fast], {id(slow): 0.1})
    spec.set_rate(built, 0.5)
    assert [(group["lr"], group["params"]) for group in built.param_groups] == [(0.05, [slow]), (0.5, [fast])]


@pytest.mark.parametrize(
    ("name", "options"), [("sgd", {"momentum": 0.9}), ("adam", {}), ("adamw", {"weight_decay": 0.1}), ("adagrad", {})]
)
def test_a_fused_kernel_takes_the_steps_of_torch(name: str, options: dict[str, object]) -> None:
    trained = []
    for given in (options, {**options, "fused": False}):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 20), nn.Tanh(), nn.Linear(20, 3))
        optimizer = Optimizer(name, lr=0.02, options=given).build(list(model.parameters()))
        assert optimizer.param_groups[0]["fused"] is ("fused" not in given)
        for _ in range(50):
            optimizer.zero_grad()
            model(torch.randn(8, 6)).square().mean().backward()
            optimizer.step()
        trained.append(nn.utils.parameters_to_vector(model.parameters()))
    torch.testing.assert_close(*trained, atol=1e-6, rtol=1e-5)


def test_sparse_gradients_and_chosen_kernels_are_not_fused() -> None:
    table, table_of_sums = nn.Embedding(4, 2, sparse=True), nn.EmbeddingBag(4, 2, sparse=True)
    assert has_sparse_gradients(nn.Sequential(nn.Linear(2, 2), table))
    assert has_sparse_gradients(table_of_sums)
    assert not has_sparse_gradients(nn.Embedding(4, 2))
    optimizer = Optimizer().build([table.weight], sparse=True)
    table(torch.tensor([1, 2])).sum().backward()
    optimizer.step()
    assert not Optimizer(options={"foreach": True}).build([table.weight]).param_groups[0]["fused"]


def test_the_state_of_another_kernel_is_taken_on() -> None:
    """A checkpoint keeps its device's kernel, and is resumed with that of this one."""
    weight = nn.Parameter(torch.ones(3))
    written = Optimizer("adamw", options={"fused": False}).build([weight])
    weight.grad = torch.ones(3)
    written.step()
    resumed = Optimizer("adamw").build([weight])
    load_optimizer(resumed, written.state_dict())
    assert resumed.param_groups[0]["fused"]
    assert resumed.state[weight]["step"] == 1
    resumed.step()


@pytest.mark.parametrize("name", ["sgd", "adamw", "rmsprop", "asgd"])
def test_a_step_without_a_record_is_the_same_step(name: str) -> None:
    found = []
    for step in (take_step, lambda optimizer: optimizer.step()):
        weight = nn.Parameter(torch.linspace(-1, 1, 5))
        optimizer = Optimizer(name, lr=0.1).build([weight])
        weight.grad = torch.arange(5.0)
        for _ in range(3):
            step(optimizer)
        found.append(weight.detach())
    assert torch.equal(*found)


def test_hooks_and_profilers_see_the_steps() -> None:
    weight, seen = nn.Parameter(torch.ones(2)), []
    optimizer = Optimizer().build([weight])
    weight.grad = torch.ones(2)
    with torch.profiler.profile() as profiler:
        take_step(optimizer)
    assert any("SGD.step" in event.key for event in profiler.key_averages())
    handle = optimizer.register_step_post_hook(lambda *_: seen.append("own"))
    take_step(optimizer)
    handle.remove()
    handle = register_optimizer_step_pre_hook(lambda *_: seen.append("all"))
    take_step(optimizer)
    handle.remove()
    take_step(optimizer)
    assert seen == ["own", "all"]
