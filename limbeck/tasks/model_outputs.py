"""Outputs of a model for all items, computed by one process or by all processes of a run."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from limbeck.core.model_io import call_model, logits_of, preserve_modes
from limbeck.data import Items
from limbeck.utils import distributed

if TYPE_CHECKING:
    from limbeck.tasks.base import Task


def model_outputs(
    task: Task,
    model: nn.Module,
    items: Items,
    *,
    batch_size: int,
    autocast: torch.dtype | None,
    reads: str | None,
    workers: int | None,
) -> Tensor:
    """The outputs of all items in their order, see `Task.outputs`."""
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    rows: list[Tensor] = []
    found: list[Tensor] = []
    result: Tensor | None = None  # filled as outputs come if all have one shape, so that they are held once
    with preserve_modes(model), torch.autocast(device.type, autocast) if autocast else nullcontext():
        model.eval()
        for batch in task.batches(items, batch_size, workers):
            inputs: Any = batch.to(device).inputs["default"]
            output = logits_of(call_model(model, inputs if reads is None else inputs[reads]))
            if not isinstance(output, Tensor) or output.is_complex():
                kind = "complex numbers" if isinstance(output, Tensor) else type(output).__name__
                raise ValueError(f"{type(model).__name__} returned {kind}; {task.name} needs logits")
            assert batch.index is not None
            kept = task.reduce_outputs(output, batch).float().cpu()
            if task.one_shape:
                result = kept.new_empty(len(items), *kept.shape[1:]) if result is None else result
                result[batch.index] = kept
            else:
                rows.append(batch.index)
                found.append(kept)
    return _in_order(task.concatenate(found), torch.cat(rows), len(items)) if result is None else result


def shared_outputs(task: Task, model: nn.Module, items: Items, **options: Any) -> Tensor:
    """`model_outputs`, of which each process of the run computes a part; all must call it, and all get all outputs."""
    shares = shares_of_processes(getattr(items.storage, "lengths", None), len(items), distributed.world_size())
    own = model_outputs(task, model, items.select(shares[distributed.rank()]), **options)
    return _in_order(task.concatenate(distributed.all_gather_tensors(own)), torch.cat(shares), len(items))


def shares_of_processes(lengths: Tensor | None, items: int, processes: int) -> list[Tensor]:
    """The rows that each process evaluates: as many for all, with some twice if need be, so that all run as many batches.

    Args:
        lengths: of texts, which are dealt out by length; None: all items are of one size.
    """
    order = torch.arange(items) if lengths is None else lengths.argsort()
    padded = torch.cat([order, order.repeat(processes)[: -items % processes]])
    return [padded[process::processes] for process in range(processes)]


def _in_order(outputs: Tensor, rows: Tensor, items: int) -> Tensor:
    """Outputs of these rows, of which some may come twice, by row."""
    result = outputs.new_empty(items, *outputs.shape[1:])
    result[rows] = outputs
    return result
