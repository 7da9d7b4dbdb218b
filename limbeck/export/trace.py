"""From a module to its graph: what both formats start from, and where most models that cannot be exported are found out."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from limbeck.core.errors import TapError
from limbeck.core.model_io import logits_of
from limbeck.export.errors import ExportError
from limbeck.utils.log_silencing import suppress_logs

if TYPE_CHECKING:
    from torch.export import ExportedProgram

TORCH = Path(torch.__file__).parent
THIS_PACKAGE = Path(__file__).parent
BATCH, TOKENS = "batch", "tokens"  # what the axes are called in a file that takes any number of items, of any length

DATA_DEPENDENT = "the values of a tensor decide here what the model does next, and a file holds one course of computing"
KEEP_IN_GRAPH = (
    "Compute both courses and choose with torch.where, branch with torch.cond, or move what decides out of forward "
    "(no `if tensor`, `.item()`, `int(tensor)` or loop over values)"
)
STAY_IN_TORCH = "Write it with torch operators: numpy, lists and .tolist() leave the graph"
ANY_BATCH = "Read the batch size from the input (x.shape[0]) where forward uses it as a number, and do not check it"


class Logits(nn.Module):
    """A model as a file holds it: one tensor in, one tensor out, whatever class of output it returns."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: Tensor) -> Tensor:
        logits = logits_of(self.model(inputs))
        assert isinstance(logits, Tensor)
        return logits


def single_output(model: nn.Module, example: Tensor) -> nn.Module:
    """`model` so that it takes one tensor and returns one.

    Raises:
        ExportError: it takes more than one input, returns no logits, or does not run at all.
    """
    try:
        with torch.no_grad():
            output = model(example)
    except Exception as error:
        raise ExportError(
            f"{type(model).__name__} does not run on one tensor of shape {list(example.shape)}: {first_line(error)}",
            "Where it takes several inputs, export a wrapper whose forward takes one tensor and builds the rest from it",
            failing_line(error),
        ) from error
    try:
        logits = logits_of(output)
    except TapError:
        logits = None
    if not isinstance(logits, Tensor):
        raise ExportError(
            f"{type(model).__name__} returns {type(output).__name__}, and a file has one tensor as its output",
            "Export a wrapper whose forward returns the logits alone",
        )
    hooked = bool(model._forward_pre_hooks or model._forward_hooks)
    return Logits(model) if logits is not output or hooked else model


def trace(model: nn.Module, example: Tensor | Sequence[Tensor], *, any_batch: bool) -> ExportedProgram:
    """The graph of `model`, which is at rest, on inputs like `example`; `any_batch`: of any number of them. Several inputs are
    tokens `[N, T]`: then of any length too, up to what the model allows.

    Raises:
        ExportError: its course of computing depends on the data, or it leaves torch on the way; the line is named.
    """
    from torch.export import Dim, export  # takes a second, which opening a file need not wait for

    inputs = (example,) if isinstance(example, Tensor) else tuple(example)
    batch: dict[int, Any] = {0: Dim(BATCH, min=1)}
    shapes: tuple[Any, ...] = (batch,) if isinstance(example, Tensor) else (tuple(batch | {1: Dim.DYNAMIC} for _ in inputs),)
    try:
        with suppress_logs(), torch.no_grad():
            return export(model, inputs, dynamic_shapes=shapes if any_batch else None, strict=False)
    except Exception as error:
        raise _trace_error(error) from error


def failing_line(error: BaseException) -> str | None:
    """`file.py:12` of the innermost line that is neither torch's nor ours, below the call that failed; None where torch alone
    is to blame."""
    frames = traceback.extract_tb(error.__traceback__)
    entered = [position for position, frame in enumerate(frames) if TORCH in Path(frame.filename).parents]
    for frame in reversed(frames[entered[0] :] if entered else []):
        file = Path(frame.filename)
        if TORCH not in file.parents and THIS_PACKAGE not in file.parents and file.exists():
            return f"{file.name}:{frame.lineno}" + (f" ({frame.line})" if frame.line else "")
    return None


def _trace_error(error: Exception) -> ExportError:
    from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

    where, reason = failing_line(error), first_line(error)
    if isinstance(error, GuardOnDataDependentSymNode):
        return ExportError(DATA_DEPENDENT, KEEP_IN_GRAPH, where)
    if "Constraints violated" in reason and BATCH in reason:
        return ExportError("the model fixes the number of items in a batch to a constant", ANY_BATCH, where)
    return ExportError(f"torch.export cannot follow the model: {reason}", STAY_IN_TORCH if where else "", where)


def first_line(error: BaseException) -> str:
    """What an error says, in one line."""
    return next(iter(str(error).strip().splitlines()), "") or type(error).__name__
