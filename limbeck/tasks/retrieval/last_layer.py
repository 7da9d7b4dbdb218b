"""Fits the last linear layer of a model by ridge regression, so that a model that learned from labels gives embeddings."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limbeck.core.model_io import logits_of

FOLDS = 5
PENALTIES = tuple(10.0**power for power in range(-5, 2))  # times the mean variance of a feature


def last_linear(model: nn.Module, call: Callable[[], Any]) -> str | None:
    """The path of the linear layer whose output is that of the model; None if there is none.

    Args:
        call: runs the model once.
    """
    outputs: dict[str, Tensor] = {}
    with ExitStack() as hooks:
        for path, module in model.named_modules():
            if isinstance(module, nn.Linear):
                hook = module.register_forward_hook(lambda _, __, output, path=path: outputs.update({path: output}))
                hooks.callback(hook.remove)
        found = logits_of(call())
    return next((path for path, output in outputs.items() if output is found), None)


def fit_last_layer(layer: nn.Linear, features: Tensor, targets: Tensor, keys: Tensor) -> None:
    """Sets weight and bias to the ridge regression from features [N, d] to targets [N, D], each of length 1.

    The penalty is the one of `PENALTIES` whose predictions for held-out items have the largest mean cosine.

    Args:
        keys: int64 [N]; items of one key are held out together.
    """
    x, y = features.double(), F.normalize(targets.double(), dim=1)
    _, group = torch.unique(keys, return_inverse=True)
    fold = group % min(FOLDS, int(group.max()) + 1)
    scores = torch.zeros(len(PENALTIES), dtype=torch.float64)
    for held_out in fold.unique() if int(fold.max()) else ():
        seen = fold != held_out
        for row, penalty in enumerate(PENALTIES):
            weight, bias = ridge_regression(x[seen], y[seen], penalty, bias=layer.bias is not None)
            scores[row] += F.cosine_similarity(x[~seen] @ weight.T + bias, y[~seen]).sum()
    weight, bias = ridge_regression(x, y, PENALTIES[int(scores.argmax())], bias=layer.bias is not None)
    with torch.no_grad():
        layer.weight.copy_(weight)
        if layer.bias is not None:
            layer.bias.copy_(bias)


def ridge_regression(x: Tensor, y: Tensor, penalty: float, *, bias: bool = True) -> tuple[Tensor, Tensor]:
    """Weight [D, d] and bias [D] of min Σ_i ‖W x_i + b − y_i‖² + λ ‖W‖², λ = penalty · N · the mean variance of a feature.

    Args:
        bias: whether there is one, which is not penalised; otherwise it is 0.
    """
    x_mean, y_mean = (side.mean(0) if bias else torch.zeros_like(side[0]) for side in (x, y))
    centred = x - x_mean
    gram = centred.T @ centred
    scale = gram.diagonal().mean().clamp_min(torch.finfo(x.dtype).tiny)
    ridge = gram + penalty * scale * torch.eye(len(gram), dtype=x.dtype)
    weight = torch.linalg.solve(ridge, centred.T @ (y - y_mean)).T
    return weight, y_mean - weight @ x_mean
