"""Communication between the processes of a run. With one process every function here is the identity."""

from __future__ import annotations

import atexit
import contextlib
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NoReturn, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor

AVAILABLE = dist.is_available()
T = TypeVar("T")
_joined = 1  # processes in the group that `initialize` has joined


def initialize() -> None:
    """Join the process group, if `torchrun` or `accelerate launch` started several processes.

    Raises:
        RuntimeError: the group has fewer processes than were started (`WORLD_SIZE`), so that some would each work alone.
    """
    global _joined
    started = int(os.environ.get("WORLD_SIZE", "1"))
    if started > 1:
        from accelerate import PartialState

        PartialState()
        found = dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1
        if found < started:
            raise RuntimeError(_shrunk(found, started))
        if _joined == 1:
            atexit.register(shutdown)  # a process that ends without it can make the others fail
        _joined = found


def _shrunk(found: int, started: int) -> str:
    return (
        f"{started} processes were started, and {found} {'is' if found == 1 else 'are'} in their group: it has been ended, "
        "so that several processes would write the same files. Leave the group to Limbeck until the run has ended"
    )


def shutdown() -> None:
    """Leave the process group."""
    global _joined
    _joined = 1
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def exit_process(code: int) -> NoReturn:
    """End this process with an exit code.

    With several processes the interpreter's teardown is skipped: gloo's threads are still running then and can abort a process
    that has done its work, which the launcher would take for a failure.
    """
    several = dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
    shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    if several:
        os._exit(code)
    sys.exit(code)


def world_size() -> int:
    """The number of processes of this run.

    Raises:
        RuntimeError: the process group has ended during the run.
    """
    return dist.get_world_size() if _in_group() else 1


def rank() -> int:
    """The number of this process, from 0.

    Raises:
        RuntimeError: the process group has ended during the run.
    """
    return dist.get_rank() if _in_group() else 0


def _in_group() -> bool:
    """Whether there is a process group. A run that has joined one must not go on without it: each process would be rank 0."""
    found = AVAILABLE and dist.is_initialized()
    if not found and _joined > 1:
        raise RuntimeError(_shrunk(1, _joined))
    return found


def any_process(condition: bool) -> bool:
    """Waits for all processes; returns whether `condition` is true on any of them."""
    return bool(all_reduce_sum(torch.tensor([float(condition)], device=_message_device())) > 0)


def barrier() -> None:
    """Wait for all processes."""
    any_process(False)


def all_reduce_sum(values: Tensor) -> Tensor:
    """Returns the element-wise sum over all processes, detached when there are several."""
    if world_size() == 1:
        return values
    total = values.detach().clone()
    dist.all_reduce(total)
    return total


def all_gather_rows(rows: Tensor) -> Tensor:
    """Returns the rows of all processes in rank order; only this process's own rows carry gradient.

    When every process computes the same loss from the gathered rows, the gradients of the processes add up to the gradient of
    that loss, because each contributes exactly the part that passes through its own rows.
    """
    if world_size() == 1:
        return rows
    own = rows.detach().contiguous()  # rows in channels-last memory would arrive in another order than they left
    pieces = [torch.empty_like(own) for _ in range(world_size())]
    dist.all_gather(pieces, own)
    pieces[rank()] = rows
    return torch.cat(pieces)


def all_gather_tensors(tensor: Tensor) -> list[Tensor]:
    """Returns the tensors of all processes in rank order, of one data type and any shapes, on the device of this one's."""
    if world_size() == 1:
        return [tensor]
    shapes: list[Any] = [None] * world_size()
    dist.all_gather_object(shapes, tuple(tensor.shape))
    sizes = [math.prod(shape) for shape in shapes]
    own = torch.zeros(max(sizes), dtype=tensor.dtype, device=_message_device())
    own[: tensor.numel()] = tensor.detach().flatten()
    received = [torch.empty_like(own) for _ in sizes]
    dist.all_gather(received, own)
    parts = zip(received, sizes, shapes, strict=True)
    return [part[:size].reshape(shape).to(tensor.device) for part, size, shape in parts]


def replicated(parameter: Tensor) -> Tensor:
    """A parameter for a loss that every process computes in full.

    Same value, with its gradient divided by the number of processes, so that the sum over processes counts the gradient once.
    """
    fixed = parameter.detach()
    return fixed + (parameter - fixed) / world_size()


def all_reduce_gradients(parameters: Iterable[Tensor]) -> None:
    """Sum the gradients over all processes in place, in one message for each data type.

    Losses are divided by global counts, so the sum (not the mean) is the gradient of the global loss. A parameter without a
    gradient on this process takes part with zeros: which terms are active may differ between processes.
    """
    if world_size() == 1:
        return
    by_dtype: dict[torch.dtype, list[Tensor]] = {}
    for parameter in parameters:
        if is_sharded(parameter):
            if parameter.grad is not None:
                parameter.grad.mul_(world_size())  # FSDP has taken the mean
        elif parameter.requires_grad:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            by_dtype.setdefault(parameter.grad.dtype, []).append(parameter.grad)
    for gradients in by_dtype.values():
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        dist.all_reduce(flat)
        for gradient, piece in zip(gradients, torch.split(flat, [g.numel() for g in gradients]), strict=True):
            gradient.copy_(piece.view_as(gradient))


def average_gradients(parameters: Iterable[Tensor]) -> None:
    """Average the gradients over all processes in place, as DDP does."""
    parameters = list(parameters)
    all_reduce_gradients(parameters)
    for parameter in parameters:
        if parameter.grad is not None:
            parameter.grad.div_(world_size())


def broadcast_parameters(module: torch.nn.Module) -> None:
    """Copy the parameters and buffers of rank 0 to all processes; those that are sharded stay as they are."""
    if world_size() > 1:
        for tensor in (*module.parameters(), *module.buffers()):
            if not is_sharded(tensor):
                device = tensor.device if tensor.device.type != "cpu" else _message_device()
                plain = tensor.data.contiguous().to(device)
                dist.broadcast(plain, src=0)
                tensor.data.copy_(plain)


def is_sharded(tensor: Tensor) -> bool:
    """Whether each process holds a part of this tensor only (a `DTensor`, which is not imported where there is none)."""
    return hasattr(tensor, "device_mesh")


def on_first_process(compute: Callable[[], T]) -> T:
    """Calls a function on the first process only, and returns its result on all."""
    if world_size() == 1:
        return compute()
    made: list[Any] = [compute() if rank() == 0 else None]
    dist.broadcast_object_list(made, src=0)
    return cast(T, made[0])


@contextlib.contextmanager
def first_rank_first() -> Iterator[None]:
    """The first process of each machine runs the block before the others, which then find what it has left on disk.

    For preparation that leaves files: an index of images, a downloaded data set. An error in the block is raised in its
    process, and the others go on to meet it themselves.
    """
    local = int(os.environ.get("LOCAL_RANK", str(rank())))
    if local != 0:
        barrier()
    try:
        yield
    finally:
        if local == 0:
            barrier()


def _message_device() -> torch.device:
    """NCCL sends no tensors that lie on the CPU."""
    nccl = world_size() > 1 and str(dist.get_backend()) == "nccl"
    return torch.device("cuda", torch.cuda.current_device()) if nccl else torch.device("cpu")
