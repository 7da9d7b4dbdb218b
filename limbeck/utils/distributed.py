"""What crosses processes: sums, gathered batches, gradients. With one process every function here is the identity."""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Iterable
from typing import NoReturn

import torch
import torch.distributed as dist
from torch import Tensor


def start() -> None:
    """Join the other processes of this run, where `torchrun` or `accelerate launch` started several."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        from accelerate import PartialState

        PartialState()
        atexit.register(leave)  # a rank that just ends can pull the others down with it


def leave() -> None:
    """Part from the other processes, once all that was sent has arrived."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def end(code: int) -> NoReturn:
    """End this process with an exit code.

    With several ranks the interpreter's teardown is left out: gloo's threads, still running then, can abort a process that has
    done its work, and the launcher would take that for a failure.
    """
    several = world() > 1
    leave()
    sys.stdout.flush()
    sys.stderr.flush()
    if several:
        os._exit(code)
    sys.exit(code)


def world() -> int:
    """The number of processes of this run."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def sum_over_ranks(values: Tensor) -> Tensor:
    """The element-wise sum over all ranks."""
    if world() == 1:
        return values
    total = values.detach().clone()
    dist.all_reduce(total)
    return total


def gather_rows(rows: Tensor) -> Tensor:
    """The rows of all ranks, in rank order; only this rank's rows carry gradient.

    When every rank computes the same loss from the gathered rows, the gradients of the ranks add up to the gradient of that
    loss, because each rank contributes exactly the part that passes through its own rows.
    """
    if world() == 1:
        return rows
    own = rows.detach().contiguous()  # rows in channels-last memory would arrive in another order than they left
    pieces = [torch.empty_like(own) for _ in range(world())]
    dist.all_gather(pieces, own)
    pieces[rank()] = rows
    return torch.cat(pieces)


def shared(parameter: Tensor) -> Tensor:
    """A parameter for a loss that every rank computes in full: the same value, its gradient divided by the number of ranks, so
    that the sum over ranks is the gradient of that loss once."""
    fixed = parameter.detach()
    return fixed + (parameter - fixed) / world()


def sum_gradients(parameters: Iterable[Tensor]) -> None:
    """Add up the gradients of all ranks in place, in one message per data type.

    Losses are divided by global counts, so the sum (not the mean) is the gradient of the global loss. A parameter without a
    gradient on this rank takes part with zeros: which terms are active may differ between ranks.
    """
    if world() == 1:
        return
    by_dtype: dict[torch.dtype, list[Tensor]] = {}
    for parameter in parameters:
        if parameter.requires_grad:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            by_dtype.setdefault(parameter.grad.dtype, []).append(parameter.grad)
    for gradients in by_dtype.values():
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        dist.all_reduce(flat)
        for gradient, piece in zip(gradients, torch.split(flat, [g.numel() for g in gradients]), strict=True):
            gradient.copy_(piece.view_as(gradient))


def same_start(module: torch.nn.Module) -> None:
    """Give every rank the parameters and buffers of rank 0."""
    if world() > 1:
        for tensor in (*module.parameters(), *module.buffers()):
            plain = tensor.data.contiguous()
            dist.broadcast(plain, src=0)
            tensor.data.copy_(plain)
