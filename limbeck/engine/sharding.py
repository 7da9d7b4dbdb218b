"""Weights shared out over processes (FSDP2): for models that do not fit one device.

A sharded actor runs a copy of its module, of which each process holds a part of every weight; the module that was handed over
stays as it was, on the CPU, and gets the trained weights back at the end.
"""

from __future__ import annotations

import copy
import functools
import weakref
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from limbeck.core.actors import Actors, Role, carry_frozen
from limbeck.core.model_io import LOGITS
from limbeck.core.repeated_blocks import repeated_blocks
from limbeck.core.signals import LinearLogits
from limbeck.core.taps.probe import tap_watchers
from limbeck.engine.fused_kernels import KERNELS
from limbeck.utils import distributed
from limbeck.utils.distributed import is_sharded

_whole: WeakKeyDictionary[nn.Module, nn.Module] = WeakKeyDictionary()  # the module that was handed over, by its sharded copy


def shard_actors(actors: Actors, device: torch.device) -> None:
    """Gives every actor a sharded copy of its module, on the device; those whose outputs are cached are moved there whole.

    All processes must hold the same weights. With one process all stay whole.
    """
    copies: dict[int, nn.Module] = {}
    for actor in actors.values():
        if distributed.world_size() == 1 or actor.cache is not None or not any(True for _ in actor.model.parameters()):
            actor.model.to(device)
        else:
            if id(actor.model) not in copies:
                copies[id(actor.model)] = shard(actor.model, device)
            actor.module = copies[id(actor.model)]


def shard(model: nn.Module, device: torch.device) -> nn.Module:
    """Returns a sharded copy of a model, by `torch.distributed.fsdp.fully_shard`.

    Each repeated block is gathered when it runs and given up right after, the rest of the weights with the whole model.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(device.type, (distributed.world_size(),))
    fresh = {id(p): nn.Parameter(p.data, p.requires_grad) for p in model.parameters()}  # the weights move, the model's do not
    sharded = copy.deepcopy(model, dict(fresh))
    units = {**repeated_blocks(sharded), "": sharded}
    for unit in units.values():
        fully_shard(unit, mesh=mesh, reshard_after_forward=True)
    carry_frozen(model, sharded)
    sharded.register_forward_hook(_refuse_linear_logits)
    _whole[sharded], tap_watchers[sharded] = model, functools.partial(_gather_for_backward, weakref.ref(sharded), list(units))
    return sharded


def _gather_for_backward(model: weakref.ref[nn.Module], units: Sequence[str], path: str, signal: Tensor) -> None:
    """Gathers the weights around a tap when a gradient arrives there: it may come from nowhere else.

    FSDP does so at the outputs of its units, which a loss on what is inside of them does not pass.
    """
    module = model()
    if module is not None and signal.requires_grad:
        for unit in units:
            if not unit or f"{path}.".startswith(f"{unit}."):
                module.get_submodule(unit)._get_fsdp_state()._register_pre_backward_hook(signal)  # type: ignore[operator]


def restore_whole(actors: Actors) -> None:
    """Gives every sharded actor the module back that was handed over, with the weights that it has now, on the CPU."""
    for actor in actors.values():
        whole = _whole.get(actor.model)
        if whole is not None:
            if actor.role is not Role.FROZEN:
                load_weights(whole, actor.model.state_dict())
            whole.train(actor.model.training)
            actor.module = whole


def load_weights(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """`model.load_state_dict(state)`, where either may be sharded; all processes hold the same state."""
    current = model.state_dict()
    model.load_state_dict({name: _like(value, current.get(name)) for name, value in state.items()})


def load_optimizer(optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """`optimizer.load_state_dict(state)` with whole tensors, for parameters that may be sharded."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    values = {
        number: {name: _like_parameter(value, parameters[int(number)]) for name, value in each.items()}
        for number, each in state["state"].items()
    }
    groups = state["param_groups"]
    if len(groups) != len(optimizer.param_groups):  # sharded parameters have groups of their own; all else is the recipe's
        groups = optimizer.state_dict()["param_groups"]
    kernels = [{name: own[name] for name in KERNELS if name in own} for own in optimizer.param_groups]
    groups = [{**group, **own} for group, own in zip(groups, kernels, strict=True)]  # another device may have written the state
    optimizer.load_state_dict({"state": values, "param_groups": groups})


def gather_state(tree: Any) -> Any:
    """Returns a nested state with whole tensors in place of sharded ones: what is written.

    All processes must call it. The first one holds the result, the others None in place of these tensors.
    """
    if isinstance(tree, Tensor):
        if not is_sharded(tree):
            return tree
        whole = tree.full_tensor()  # type: ignore[attr-defined]
        return whole.cpu() if distributed.rank() == 0 else None
    if isinstance(tree, Mapping):
        return {key: gather_state(part) for key, part in tree.items()}
    return [gather_state(part) for part in tree] if isinstance(tree, list | tuple) else tree


def clip_gradients(parameters: Iterable[nn.Parameter], limit: float) -> None:
    """`nn.utils.clip_grad_norm_` for parameters of which some may be sharded."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if not any(map(is_sharded, gradients)):
        nn.utils.clip_grad_norm_([parameter for parameter in parameters if parameter.grad is not None], limit)
        return
    apart = torch.stack([_squares(gradient) for gradient in gradients if is_sharded(gradient)]).sum()
    total = distributed.all_reduce_sum(apart) + sum(_squares(each) for each in gradients if not is_sharded(each))
    factor = (limit / (total.sqrt() + 1e-6)).clamp(max=1.0)
    for gradient in gradients:
        local(gradient).mul_(factor)


def gradients_by_backward(loss: Tensor, wanted: Sequence[nn.Parameter], others: Iterable[Tensor]) -> list[Tensor]:
    """Returns this process's parts of the gradients of a loss, which keeps its graph.

    Sharded parameters are no leaves of the graph, so that `torch.autograd.grad` does not reach them.

    Args:
        others: what else may collect gradient, and is to have none afterwards.
    """
    loss.backward(retain_graph=True)  # type: ignore[no-untyped-call]
    found = [local(parameter.grad) for parameter in wanted if parameter.grad is not None]
    for tensor in (*wanted, *others):
        tensor.grad = None
    return found


def local(tensor: Tensor) -> Tensor:
    """This process's part of a tensor that may be sharded."""
    found: Tensor = tensor.to_local() if is_sharded(tensor) else tensor  # type: ignore[attr-defined]
    return found


def _squares(gradient: Tensor) -> Tensor:
    return local(gradient).float().square().sum()


def _like_parameter(value: Any, parameter: nn.Parameter) -> Any:
    """A part of an optimizer's state: moments are sharded and laid out as their parameter is, numbers of steps are not."""
    if not isinstance(value, Tensor) or value.shape != parameter.shape:
        return value
    value = _like(value, parameter)
    if is_sharded(value) or value.stride() == parameter.stride():
        return value
    return torch.empty_like(parameter, dtype=value.dtype, device=value.device).copy_(value)


def _like(value: Tensor, target: Tensor | None) -> Tensor:
    """The value, whole or sharded as the target is."""
    if is_sharded(value) and (target is None or not is_sharded(target)):
        whole: Tensor = value.full_tensor()  # type: ignore[attr-defined]
        return whole.to("cpu" if target is None else target.device)  # at once: together they may not fit the device
    if target is None or is_sharded(value) or not is_sharded(target):
        return value
    parts = torch.chunk(value, distributed.world_size())
    own = parts[distributed.rank()] if distributed.rank() < len(parts) else value[:0]
    sharded = torch.zeros_like(target, dtype=value.dtype, requires_grad=False)
    local(sharded).copy_(own)
    return sharded


def _refuse_linear_logits(model: nn.Module, inputs: Any, output: Any) -> None:
    if isinstance(output, LinearLogits) or isinstance(getattr(output, LOGITS, None), LinearLogits):
        raise ValueError(
            f"shard: {type(model).__name__} returns logits that are not multiplied out yet (LinearLogits), whose weights are "
            "given up when it has run; return dense logits, or set shard: false"
        )
