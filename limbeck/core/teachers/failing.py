"""Teachers whose outputs are not finite are left out, item by item, and named once."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

import torch
from torch import Tensor

from limbeck.core.model_io import is_traced

LEAST_WEIGHT = 1e-30  # a sum of weights below it counts as none: one over it, and so a trained gate's gradient, would overflow


def without_failing(outputs: Sequence[Tensor], axes: int) -> tuple[list[Tensor], Tensor]:
    """Zeros in place of outputs that hold NaN or infinity, if another teacher is finite; and who is, `[K, …]` of bool.

    An item on which all teachers fail keeps its values, so that the check of the loss refuses it.

    Args:
        axes: leading axes that tell items (1), or tokens (2), apart.
    """
    if is_traced():  # a graph is of one path, that of teachers which do not fail
        shape = (len(outputs), *outputs[0].shape[:axes])
        return list(outputs), torch.ones(shape, dtype=torch.bool, device=outputs[0].device)
    if can_be_read(outputs[0]) and all(math.isfinite(output.sum().item()) for output in outputs):  # one pass over each
        return list(outputs), torch.ones((len(outputs), *outputs[0].shape[:axes]), dtype=torch.bool)
    finite = torch.stack([torch.isfinite(output).flatten(axes).all(-1) for output in outputs])
    if can_be_read(finite) and bool(finite.all()):
        return list(outputs), finite
    kept = finite | ~finite.any(0)
    cleaned = [
        torch.where(keep.view(*keep.shape, *[1] * (output.ndim - axes)), output, 0)
        for keep, output in zip(kept, outputs, strict=True)
    ]
    return cleaned, finite


def shared_weights(weights: Tensor, finite: Tensor) -> Tensor:
    """The weights of K teachers `[K, …]`, in which the finite ones share what the others had, in proportion to their own.

    They share equally if they have none. On an item on which all fail the weights stay.
    """
    axes = max(weights.ndim, finite.ndim)
    weights, finite = (each.view(*each.shape, *[1] * (axes - each.ndim)) for each in (weights, finite))
    left = weights * finite
    total, own = weights.sum(0, keepdim=True), left.sum(0, keepdim=True)
    equal = total * finite / finite.sum(0, keepdim=True).clamp(min=1)
    shared = torch.where(own > LEAST_WEIGHT, left * (total / torch.where(own > LEAST_WEIGHT, own, 1.0)), equal)
    return torch.where(finite.any(0, keepdim=True), shared, weights)


def owned_weights(weights: Tensor, finite: Tensor, names: Sequence[str]) -> Tensor:
    """The weights of K teachers `[K, …]`, of which those without weight on an item do not know it and get none.

    Raises:
        ValueError: on an item all teachers that have weight fail. On an accelerator, where this would wait for the device, its
            weights are NaN, and the check of the loss refuses it.
    """
    axes = max(weights.ndim, finite.ndim)
    weights, finite = (each.view(*each.shape, *[1] * (axes - each.ndim)) for each in (weights, finite))
    total, own = weights.sum(0, keepdim=True), (weights * finite).sum(0, keepdim=True)
    lost = (total > 0) & (own <= 0)
    if can_be_read(lost) and bool(lost.any()):
        failing = ((weights > 0) & ~finite & lost).flatten(1)
        number = int(failing.any(-1).to(torch.uint8).argmax())
        failed, items = int(failing[number].sum()), int((weights[number] > 0).sum())
        raise ValueError(
            f"teacher {names[number]!r}: its outputs on {failed} of {items} items of its own in a batch are NaN or infinite, "
            "and no other teacher knows these. Check its weights, its precision and its inputs, or leave such items out."
        )
    return torch.where(lost, torch.nan, weights * finite * (total / torch.where(own > 0, own, 1.0)))


def can_be_read(values: Tensor) -> bool:
    """Whether code may decide by these values: an accelerator would have to be waited for, and a traced graph holds none."""
    return values.device.type == "cpu" and not is_traced()


def warn_of_failing(finite: Tensor, names: Sequence[str], warned: set[str]) -> None:
    """Warns of each teacher that fails, the first time that it does. Waits for the device, so it is silent on an accelerator,
    where the log of the weights shows it."""
    if not can_be_read(finite) or bool(finite.all()):
        return
    for name, own in zip(names, finite.flatten(1), strict=True):
        if name not in warned and not bool(own.all()):
            warned.add(name)
            failed = int((~own).sum())
            warnings.warn(
                f"teacher {name!r}: its outputs on {failed} of {len(own)} items of a batch are NaN or infinite; it has weight "
                "0 on such items, and the other teachers share its weight. Check its weights, its precision and its inputs.",
                stacklevel=2,
            )
