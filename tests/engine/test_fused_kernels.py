"""Optimizer steps in one kernel are those of torch, whatever the layout of weights, gradients and loaded states."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from limbeck.engine import Optimizer
from limbeck.engine.fused_kernels import has_sparse_gradients, take_step
from limbeck.engine.sharding import load_optimizer

OFF = torch.amp.GradScaler("cpu", enabled=False)
OPTIMIZERS: list[tuple[str, dict[str, Any]]] = [
    ("sgd", {"momentum": 0.9, "nesterov": True}),
    ("adam", {"amsgrad": True}),
    ("adamw", {}),
    ("adagrad", {}),
]
LAST = torch.channels_last


def weights(layout: str, dtype: torch.dtype) -> Tensor:
    torch.manual_seed(0)
    made = torch.randn(8, 4, 3, 3, dtype=dtype)
    return {"plain": made, "last": made.to(memory_format=LAST), "turned": made.permute(3, 2, 1, 0), "part": made[:, 1:3]}[
        layout
    ]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("layout", ["plain", "last", "turned", "part"])
@pytest.mark.parametrize("of_gradients", [torch.contiguous_format, LAST])
@pytest.mark.parametrize(("name", "options"), OPTIMIZERS)
def test_any_layout_and_type_takes_the_steps_of_torch(
    name: str, options: dict[str, Any], of_gradients: torch.memory_format, layout: str, dtype: torch.dtype
) -> None:
    found = []
    for given in (options, {**options, "fused": False}):
        weight = nn.Parameter(weights(layout, dtype))
        optimizer = Optimizer(name, lr=0.05, options=given).build([weight])
        for step in range(4):
            torch.manual_seed(step)
            weight.grad = torch.randn(weight.shape, dtype=dtype).to(memory_format=of_gradients)
            take_step(optimizer, OFF)
        found.append(weight.detach())
    torch.testing.assert_close(*found, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(("name", "options"), OPTIMIZERS)
def test_a_state_that_was_written_in_order_is_laid_out_as_the_weights_are(name: str, options: dict[str, Any]) -> None:
    """Files hold tensors in order."""

    def trained(*, resumed: bool) -> Tensor:
        weight = nn.Parameter(weights("last", torch.float32))
        optimizer = Optimizer(name, lr=0.05, options=options).build([weight])
        for step in range(4):
            torch.manual_seed(step)
            weight.grad = torch.randn(weight.shape).to(memory_format=LAST)
            take_step(optimizer, OFF)
            if resumed and step == 1:
                state = optimizer.state_dict()
                state["state"] = {
                    number: {key: value.contiguous() if isinstance(value, Tensor) else value for key, value in each.items()}
                    for number, each in state["state"].items()
                }
                optimizer = Optimizer(name, lr=0.05, options=options).build([weight])
                load_optimizer(optimizer, state)
        return weight.detach()

    assert torch.equal(trained(resumed=False), trained(resumed=True))


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
    for step in (take_step, lambda optimizer, _: optimizer.step()):
        weight = nn.Parameter(torch.linspace(-1, 1, 5))
        optimizer = Optimizer(name, lr=0.1).build([weight])
        weight.grad = torch.arange(5.0)
        for _ in range(3):
            step(optimizer, OFF)
        found.append(weight.detach())
    assert torch.equal(*found)


def test_hooks_and_profilers_see_the_steps() -> None:
    weight, seen = nn.Parameter(torch.ones(2)), []
    optimizer = Optimizer().build([weight])
    weight.grad = torch.ones(2)
    with torch.profiler.profile() as profiler:
        take_step(optimizer, OFF)
    assert any("SGD.step" in event.key for event in profiler.key_averages())
    handle = optimizer.register_step_post_hook(lambda *_: seen.append("own"))
    take_step(optimizer, OFF)
    handle.remove()
    handle = register_optimizer_step_pre_hook(lambda *_: seen.append("all"))
    take_step(optimizer, OFF)
    handle.remove()
    take_step(optimizer, OFF)
    assert seen == ["own", "all"]
