"""Measures BatchNorm statistics again, for a part of a network that is judged with statistics of its own."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from limbeck.core.batch import copy_tensors
from limbeck.core.model_io import call_model, preserve_modes

CONTAINERS = (nn.ModuleList, nn.ModuleDict)  # which have no forward pass of their own


@torch.no_grad()
def recalibrate(module: nn.Module, batches: Iterable[Any]) -> None:
    """Measures the running statistics of all BatchNorm layers again, in place: the mean over these batches.

    The statistics of a supernet are averages over all widths that trained it, and fit none of them. The BatchNorm layers run in
    training mode with a cumulative average, everything else in evaluation mode (no dropout). Layers and channels that the
    module does not use keep their statistics. A network may also pass slices of a layer's statistics to `F.batch_norm`. Modes
    and momentum are restored. Nothing happens without BatchNorm layers.

    Args:
        module: what is judged, such as `module_of("student@small", actors)`.
        batches: inputs as the module is called: tensors, or mappings of keyword arguments. A few hundred items are enough.

    Raises:
        ValueError: no batches.

    Source: Yu & Huang 2019, Universally Slimmable Networks (arXiv:1903.05134), section 3.3.
    """
    layers = [layer for layer in module.modules() if isinstance(layer, _BatchNorm) and layer.running_mean is not None]
    if not layers:
        return
    given = iter(batches)
    first = next(given, None)
    if first is None:
        raise ValueError("recalibrate: there are no batches, so BatchNorm statistics cannot be measured; give at least one")
    before = [(layer, layer.momentum, [buffer.clone() for buffer in layer.buffers()]) for layer in layers]
    handles = [layer.register_forward_pre_hook(_count_runs) for layer in layers]
    with preserve_modes(module):
        module.eval()
        for layer in layers:
            layer.train()
        try:
            _train_owners(module, layers, first)
            for layer in layers:
                layer.reset_running_stats()
            for number, inputs in enumerate(chain([first], given), start=1):
                for layer in layers:
                    layer.momentum = 1 / number  # the mean over all batches, for code that passes it to F.batch_norm
                call_model(module, inputs)
        finally:
            for handle in handles:
                handle.remove()
            for layer, momentum, buffers in before:
                layer.momentum = momentum
                _restore_unmeasured(layer, buffers)


def _count_runs(layer: nn.Module, _: Any) -> None:
    """Before a layer runs as a module: the mean over its runs, which it counts itself."""
    assert isinstance(layer, _BatchNorm)
    layer.momentum = None


def _train_owners(module: nn.Module, layers: list[_BatchNorm], inputs: Any) -> None:
    """Puts those modules into training mode that pass slices of a layer's statistics to `F.batch_norm` by their own mode.

    Their other submodules stay in evaluation mode. Owners whose layers do not run even so are put back.
    """
    owners = {owner: own for owner in module.modules() if not isinstance(owner, CONTAINERS) and (own := _owned(owner, layers))}
    for training in (True, False):
        measured = _measured(module, layers, inputs)
        for owner, own in owners.items():
            if measured.isdisjoint(own):
                owner.training = training
    if not measured:
        warnings.warn(
            "recalibrate: this module changes the statistics of none of its BatchNorm layers, so they stay as they are; a "
            "network that calls F.batch_norm itself has to pass its own `training`",
            stacklevel=3,
        )


def _owned(owner: nn.Module, layers: list[_BatchNorm]) -> set[nn.Module]:
    """The layers that a module holds itself, or in lists and mappings of modules."""
    found: set[nn.Module] = set()
    for child in owner.children():
        found |= _owned(child, layers) if isinstance(child, CONTAINERS) else {child} & set(layers)
    return found


def _measured(module: nn.Module, layers: list[_BatchNorm], inputs: Any) -> set[nn.Module]:
    """The layers whose running statistics a forward pass changes."""
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = 1.0
    call_model(module, copy_tensors(inputs))
    return {layer for layer in layers if not bool(_untouched(layer).all())}


def _untouched(layer: _BatchNorm) -> Tensor:
    """The channels whose statistics are as they were reset."""
    assert layer.running_mean is not None
    assert layer.running_var is not None
    return (layer.running_mean == 0) & (layer.running_var == 1)


def _restore_unmeasured(layer: _BatchNorm, buffers: list[Tensor]) -> None:
    """Puts the statistics of channels back that the module does not use."""
    untouched = _untouched(layer)
    for buffer, old in zip(layer.buffers(), buffers, strict=True):
        if buffer.shape == untouched.shape:
            buffer.copy_(torch.where(untouched, old, buffer))
        elif bool(untouched.all()):
            buffer.copy_(old)
