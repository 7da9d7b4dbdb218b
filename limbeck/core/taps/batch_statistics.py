"""Statistics of what a BatchNorm layer reads, beside those that it has kept of its training."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.modules.batchnorm import _BatchNorm

from limbeck.core.errors import TapError
from limbeck.core.taps.encoder_layout import HookPoint
from limbeck.utils.registry import nearest_names

STATISTICS = "statistics"
BLOCK = 2**19  # numbers


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
    found: Tensor = Moments.apply(inputs, mean.to(dtype))  # type: ignore[no-untyped-call]
    return torch.cat([found, variance.to(dtype).expand(len(inputs), 1, -1)], 1)


class Moments(torch.autograd.Function):
    """The first two moments about `centre` [C] of inputs [B, C, …], over their positions: [B, 2, C].

    Nothing of the size of the inputs is kept but the inputs, and the backward pass makes one such tensor: the gradient of both
    moments is linear in x. Composed of torch's functions it took four times as long, half of an inversion's step.
    """

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, centre: Tensor) -> Tensor:
        ctx.save_for_backward(inputs, centre)
        found = []
        for values, _ in _blocks(inputs.detach(), centre.dtype):
            centred = values - centre[:, None]
            found.append(torch.stack([centred.mean(2), centred.square_().mean(2)], 1))
        return torch.cat(found)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        inputs, centre = ctx.saved_tensors
        found = torch.empty_like(inputs)
        for values, rows in _blocks(inputs, centre.dtype):
            first, second = (gradient[rows] / values.shape[2]).unbind(1)
            # of m₁ = mean(x − c) and m₂ = mean((x − c)²): (g₁ − 2 g₂ c + 2 g₂ x) / n
            slope = 2 * second[..., None]
            part = torch.addcmul(first[..., None] - slope * centre[:, None], values, slope)
            found[rows] = part.reshape(inputs[rows].shape).to(inputs.dtype)
        return found, None


def _blocks(inputs: Tensor, dtype: torch.dtype) -> Iterator[tuple[Tensor, slice]]:
    """[B, C, …] → [b, C, positions], of either memory format without a copy, and which rows these are.

    On a CPU a few megabytes at a time, which stay in its cache.
    """
    count = max(1, BLOCK // max(1, inputs[0].numel())) if inputs.is_cpu else len(inputs)
    for start in range(0, len(inputs), count):
        rows = slice(start, start + count)
        part = inputs[rows].to(dtype)
        yield part.reshape(len(part), part.shape[1], -1), rows


def _keeps_statistics(module: nn.Module) -> bool:
    return isinstance(module, _BatchNorm) and module.running_mean is not None
