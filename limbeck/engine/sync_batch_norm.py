"""BatchNorm over the whole batch of several processes, so that they train what one process would."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.modules.batchnorm import _BatchNorm
from torch.overrides import TorchFunctionMode

from limbeck.utils import distributed


def synchronized_batch_norm(enabled: bool = True) -> AbstractContextManager[object]:
    """A context in which BatchNorm layers that train take their statistics from all processes.

    It changes no module: every call of `torch.nn.functional.batch_norm` with `training=True` is carried out by `batch_norm`
    below, so that classes, parameters and buffers stay as they are, and slices that a supernet normalizes are covered too. All
    processes must make the same calls in the same order. With one process it does nothing.
    """
    return _SynchronizedBatchNorm() if enabled and distributed.world_size() > 1 else nullcontext()


def normalizes_batches(modules: Iterable[nn.Module], frozen: Iterable[nn.Module] = ()) -> bool:
    """Whether there is a BatchNorm layer that takes the statistics of the batch.

    Args:
        frozen: modules in evaluation mode, in which layers without running statistics, as generators have them, do so too.
    """
    if any(isinstance(layer, _BatchNorm) for module in modules for layer in module.modules()):
        return True
    return any(isinstance(x, _BatchNorm) and x.running_mean is None for module in frozen for x in module.modules())


@functools.cache
def _uncompiled() -> Callable[..., Tensor]:
    """`batch_norm`, which `torch.compile` leaves as it is. To say so imports the compiler, which takes longer than torch."""
    found: Callable[..., Tensor] = torch.compiler.disable(batch_norm)  # type: ignore[no-untyped-call]
    return found


class _SynchronizedBatchNorm(TorchFunctionMode):
    def __init__(self) -> None:
        super().__init__()
        self.batch_norm = _uncompiled()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        found = kwargs or {}
        if func is F.batch_norm and (args[5] if len(args) > 5 else found.get("training", False)):
            return self.batch_norm(*args, **found)
        return func(*args, **found)


def batch_norm(
    inputs: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """`torch.nn.functional.batch_norm` in training, with mean and variance of the inputs of all processes.

    Works on any device and with any number of items in each process. The gradient is that of the sum of all processes' losses:
    of the inputs the whole of it, of weight and bias this process's share, which the sum of gradients completes. As in torch,
    the running variance is the unbiased one.

    Args:
        inputs: [B, C, …], of this process.
        running_mean, running_var: [C]; changed in place.
        weight, bias: [C].

    Raises:
        ValueError: a single value for each channel in all processes.

    Source: Ioffe & Szegedy 2015, Batch Normalization (arXiv:1502.03167); moments are combined by Chan, Golub & LeVeque 1979.
    """
    count, mean, variance = _global_moments(inputs.detach())
    if count < 2:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {list(inputs.shape)}")
    with torch.no_grad():
        for running, value in ((running_mean, mean), (running_var, variance * (count / (count - 1)))):
            if running is not None:
                running.lerp_(value.to(running.dtype), momentum)
    normalized: Tensor = _Normalize.apply(  # type: ignore[no-untyped-call]
        inputs, weight, bias, mean, (variance + eps).rsqrt(), count
    )
    return normalized


class _Normalize(torch.autograd.Function):
    """(x − mean) · inverse_std · weight + bias, with the mean and the variance as functions of all processes' x."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, mean: Tensor, inverse_std: Tensor, count: float
    ) -> Tensor:
        scale = inverse_std if weight is None else inverse_std * weight
        shift = -mean * scale if bias is None else bias - mean * scale
        ctx.save_for_backward(x, weight, mean, inverse_std)
        ctx.count = count
        work = torch.promote_types(x.dtype, torch.float32)
        return (x.to(work) * _wide(scale.to(work), x) + _wide(shift.to(work), x)).to(x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, inverse_std = ctx.saved_tensors
        wide = gradient.to(mean.dtype)
        centred = x.to(mean.dtype) - _wide(mean, x)
        own = torch.stack([_sum(wide), _sum(wide * centred) * inverse_std])  # the gradients of bias and weight
        total = distributed.all_reduce_sum(own) / ctx.count
        scale = inverse_std if weight is None else inverse_std * weight
        change = wide - _wide(total[0], x) - centred * _wide(total[1] * inverse_std, x)
        of_inputs = (change * _wide(scale.to(mean.dtype), x)).to(x.dtype)
        of_bias, of_weight = (part.to(gradient.dtype if weight is None else weight.dtype) for part in own)
        needs = ctx.needs_input_grad
        return of_inputs, of_weight if needs[1] else None, of_bias if needs[2] else None, None, None, None


def _global_moments(x: Tensor) -> tuple[float, Tensor, Tensor]:
    """The number of values of each channel, their mean and their variance, over all processes.

    Each process sends its count, its mean and its sum of squares about that mean: sums of squares about zero would lose the
    digits of a variance that is small beside the mean.
    """
    wide = x.to(_statistics_dtype(x))
    number = x.numel() // max(x.shape[1], 1)
    mean = _sum(wide) / max(number, 1)
    squares = _sum((wide - _wide(mean, x)).square())
    message = torch.cat([mean.new_tensor([number]), mean, squares])
    received = [torch.empty_like(message) for _ in range(distributed.world_size())]
    if len(received) > 1:
        dist.all_gather(received, message)
    else:
        received = [message]
    counts, means, sums = torch.split(torch.stack(received), [1, x.shape[1], x.shape[1]], 1)
    total = counts.sum()
    overall = (counts * means).sum(0) / total
    about = sums.sum(0) + (counts * (means - overall).square()).sum(0)
    return float(total), overall, about / total


def _statistics_dtype(x: Tensor) -> torch.dtype:
    """float64 on a CPU, as torch's own kernel accumulates there; float32 on other devices, which may not have more."""
    return torch.float64 if x.device.type == "cpu" else torch.promote_types(x.dtype, torch.float32)


def _sum(x: Tensor) -> Tensor:
    """[B, C, …] → [C]"""
    return x.sum([0, *range(2, x.ndim)])


def _wide(channels: Tensor, like: Tensor) -> Tensor:
    """[C] → [1, C, 1, …]"""
    return channels.view(1, -1, *[1] * (like.ndim - 2))
