"""BatchNorm whose running statistics do not describe the data on which a model was trained."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from limbeck.data import Items
from limbeck.tasks import Classification, Task

ITEMS, BATCH = 512, 128
Z, FACTOR = 4.0, 1.5  # standard errors, and times the loss, by which evaluation mode must be worse


def warn_of_batch_statistics(task: Task, model: nn.Module, items: Items | None, who: str) -> None:
    """Warns if a classifier with BatchNorm is worse with running statistics than with those of batches of training items.

    The losses of the same items are compared: the mean difference must exceed four standard errors, and the loss with running
    statistics one and a half times the other.
    """
    layers = [layer for layer in model.modules() if isinstance(layer, _BatchNorm) and layer.running_mean is not None]
    if not layers or items is None or not isinstance(task, Classification) or items.target is None:
        return
    known = items.labelled()
    if len(known) < 2 * BATCH:
        return
    some = known.select(torch.randperm(len(known), generator=torch.Generator().manual_seed(0))[:ITEMS])
    some = some.select(torch.arange(len(some) // BATCH * BATCH))
    running = task.outputs(model, some, batch_size=BATCH)
    with _batch_statistics(layers):
        batch = task.outputs(model, some, batch_size=BATCH)
    ours, theirs = (nn.functional.cross_entropy(outputs, some.target, reduction="none") for outputs in (running, batch))
    difference = ours - theirs
    error = float(difference.std()) / len(some) ** 0.5
    if float(difference.mean()) > Z * error and float(ours.mean()) > FACTOR * float(theirs.mean()):
        warnings.warn(
            f"{who}: {_right(running, some):.1%} of {len(some)} training items are right with the running statistics of "
            f"BatchNorm, and {_right(batch, some):.1%} with those of their batches: the former lag behind. Train for more "
            "steps, or raise the momentum of its BatchNorm layers (torch's default is 0.1)",
            stacklevel=2,
        )


def _right(outputs: Tensor, items: Items) -> float:
    return float((outputs.argmax(-1) == items.target).float().mean())


@contextmanager
def _batch_statistics(layers: list[_BatchNorm]) -> Iterator[None]:
    """BatchNorm layers that use the statistics of the batch in evaluation mode too.

    Their buffers stay as they are: a network may read them itself, as a supernet reads a part of each.
    """
    for layer in layers:
        layer.forward = functools.partial(_normalise, layer)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


def _normalise(layer: _BatchNorm, x: Tensor) -> Tensor:
    return nn.functional.batch_norm(x, None, None, layer.weight, layer.bias, training=True, eps=layer.eps)
