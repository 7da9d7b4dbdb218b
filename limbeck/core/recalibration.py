"""Measures BatchNorm statistics again, for a part of a network that is judged with statistics of its own."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from limbeck.core.model_io import call_model, preserve_modes


@torch.no_grad()
def recalibrate(module: nn.Module, batches: Iterable[Any]) -> None:
    """Measures the running statistics of all BatchNorm layers again, in place: the mean over these batches.

    The statistics of a supernet are averages over all widths that trained it, and fit none of them. The BatchNorm layers run in
    training mode with a cumulative average, everything else in evaluation mode (no dropout). Layers that the module does not
    run keep their statistics. Modes and momentum are restored. Nothing happens without BatchNorm layers.

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
    with preserve_modes(module):
        module.eval()
        for layer in layers:
            layer.reset_running_stats()
            layer.momentum = None  # the mean over all batches
            layer.train()
        try:
            for inputs in chain([first], given):
                call_model(module, inputs)
        finally:
            for layer, momentum, buffers in before:
                layer.momentum = momentum
                if not int(layer.num_batches_tracked or 0):  # it did not run
                    for buffer, old in zip(layer.buffers(), buffers, strict=True):
                        buffer.copy_(old)
