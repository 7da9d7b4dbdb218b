"""Steps of optimizers in one fused kernel on CPUs, which take less than the time of torch's default."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.optim import optimizer as optimizers

from limbeck.utils.distributed import is_sharded

KERNELS = ("fused", "foreach", "capturable", "differentiable")  # options that decide how a step is computed


def can_fuse(kind: type[torch.optim.Optimizer], options: Mapping[str, Any], parameters: Sequence[nn.Parameter]) -> bool:
    """Whether an optimizer of torch has such a kernel for these parameters, and the options choose no other."""
    takes_it = "fused" in inspect.signature(kind).parameters and not any(name in options for name in KERNELS)
    return takes_it and len(parameters) > 0 and all(map(_fits, parameters))


def _fits(parameter: nn.Parameter) -> bool:
    """Kernels go through memory in order, and with numbers of half precision SGD's takes other steps than torch elsewhere."""
    plain = parameter.is_cpu and parameter.dtype in (torch.float32, torch.float64) and not is_sharded(parameter)
    return plain and (
        parameter.is_contiguous() or (parameter.ndim == 4 and parameter.is_contiguous(memory_format=torch.channels_last))
    )


def has_sparse_gradients(model: nn.Module) -> bool:
    """Whether a model has embeddings with `sparse=True`, which no kernel takes."""
    return any(isinstance(each, nn.Embedding | nn.EmbeddingBag) and each.sparse for each in model.modules())


def take_step(optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler) -> None:
    """`scaler.step(optimizer)`, without torch's record for profilers, which takes longer than the step of a small model."""
    _lay_out_gradients(optimizer)
    kind = type(optimizer)
    own = optimizer._optimizer_step_pre_hooks or optimizer._optimizer_step_post_hooks
    hooks = own or optimizers._global_optimizer_pre_hooks or optimizers._global_optimizer_post_hooks
    if scaler.is_enabled():
        scaler.step(optimizer)
    elif hooks or torch.autograd.profiler._is_profiler_enabled or not kind.__module__.startswith("torch.optim."):
        optimizer.step()
    else:
        with torch.no_grad():
            inspect.unwrap(kind.step)(optimizer)


def _lay_out_gradients(optimizer: torch.optim.Optimizer) -> None:
    """Gradients in the memory layout of their parameters: autograd makes them so, others may not, and kernels do not look."""
    for group in optimizer.param_groups:
        for parameter in group["params"] if group.get("fused") else ():
            gradient = parameter.grad
            if gradient is not None and gradient.stride() != parameter.stride():
                parameter.grad = torch.empty_like(parameter).copy_(gradient)
