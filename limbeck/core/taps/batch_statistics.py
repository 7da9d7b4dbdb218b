"""Statistics of what a BatchNorm layer reads, beside those that it has kept of its training."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from limbeck.core.errors import TapError
from limbeck.core.taps.encoder_layout import HookPoint
from limbeck.utils.registry import nearest_names

STATISTICS = "statistics"


def batchnorm_layers(model: nn.Module) -> list[str]:
    """The paths of a model's BatchNorm layers that keep running statistics, as in `named_modules()`."""
    return [path for path, module in model.named_modules() if _keeps_statistics(module)]


def statistics_hook_point(model: nn.Module, address: str) -> HookPoint:
    """Where statistics are recorded: at a BatchNorm layer, or at the one within a module.

    Raises:
        TapError: the module holds none that keeps running statistics, or several.
    """
    within = model.get_submodule(address)
    found = [f"{address}.{path}".strip(".") for path in batchnorm_layers(within)]
    if len(found) != 1:
        offer = ", ".join(nearest_names(address, found or batchnorm_layers(model)))
        raise TapError(
            f"{address!r} in {type(model).__name__} holds {len(found) or 'no'} BatchNorm layers with running statistics, and "
            f"one is needed" + (f": {offer}" if offer else "")
        )
    return HookPoint(found[0], STATISTICS)


def input_statistics(layer: nn.Module, inputs: Tensor) -> Tensor:
    """Moments of each item's input about the running mean r of a BatchNorm layer, and its running variance.

    [B, C, …] → [B, 3, C], for each item and channel: the mean of x − r over its positions, the mean of (x − r)², and the
    running variance. With means over the items, the batch has the mean r + m₁ and the variance m₂ − m₁². Moments about r, in
    float32 at least, lose no digits where a mean is large.
    """
    assert isinstance(layer, _BatchNorm)
    mean, variance = layer.running_mean, layer.running_var
    assert mean is not None
    assert variance is not None
    dtype = torch.promote_types(inputs.dtype, torch.float32)
    centred = inputs.to(dtype).reshape(len(inputs), inputs.shape[1], -1) - mean.to(dtype)[:, None]
    moments = centred.mean(2), centred.square().mean(2), variance.to(dtype).expand(len(inputs), -1)
    return torch.stack(moments, 1)


def _keeps_statistics(module: nn.Module) -> bool:
    return isinstance(module, _BatchNorm) and module.running_mean is not None
