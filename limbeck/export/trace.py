"""Traces a module to a graph, the first step of all formats, and explains why a model cannot be traced."""

from __future__ import annotations

import logging
import traceback
import warnings
from collections.abc import Callable, Sequence
from inspect import Parameter, signature
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
LOGGING = Path(logging.__file__).parent
BATCH, TOKENS = "batch", "tokens"  # names of the dynamic axes in a file

DATA_DEPENDENT = "the control flow depends on the values of a tensor here, but a file holds one sequence of operators"
KEEP_IN_GRAPH = (
    "Compute both branches and select with torch.where, branch with torch.cond, or move the decision out of forward "
    "(no `if tensor`, `.item()`, `int(tensor)` or loop over values)"
)
STAY_IN_TORCH = "Use torch operators: numpy, lists and .tolist() are not part of the graph"
FIXED_BATCH = "the model fixes the number of items in a batch to a constant here"
ANY_BATCH = (
    "Read the batch size from the input (x.shape[0]), do not check it, and compute all items at once, not in a Python loop over"
    " them (`for item in x`)"
)
SHAPES_LOG = "torch.fx.experimental.symbolic_shapes"  # torch's log of what it assumes about the sizes of tensors
FIXED = "set_replacement"  # begins the message that a size was taken for a constant


class Logits(nn.Module):
    """Wraps a model to return its logits as one tensor, whatever class its output has."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: Tensor) -> Tensor:
        logits = logits_of(self.model(inputs))
        assert isinstance(logits, Tensor)
        return logits


def single_output(model: nn.Module, example: Tensor) -> nn.Module:
    """Wraps `model`, if needed, so that it takes one tensor and returns one.

    Raises:
        ExportError: the model takes more than one input, returns no logits, or fails.
    """
    try:
        with torch.no_grad():
            output = model(example)
    except Exception as error:
        raise ExportError(
            f"{type(model).__name__} does not run on one tensor of shape {list(example.shape)}: {first_line(error)}",
            "If it takes several inputs, export a wrapper whose forward takes one tensor and builds the others from it",
            failing_line(error),
        ) from error
    try:
        logits = logits_of(output)
    except TapError:
        logits = None
    if not isinstance(logits, Tensor):
        raise ExportError(
            f"{type(model).__name__} returns {type(output).__name__}, but an exported file returns one tensor",
            "Export a wrapper whose forward returns only the logits",
        )
    hooked = bool(model._forward_pre_hooks or model._forward_hooks)
    return Logits(model) if logits is not output or hooked or _takes_anything(model) else model


def _takes_anything(model: nn.Module) -> bool:
    """Whether forward has `*args`, as wrappers such as PEFT's do: torch then expects another form of dynamic shapes."""
    return any(parameter.kind is Parameter.VAR_POSITIONAL for parameter in signature(model.forward).parameters.values())


def trace(model: nn.Module, example: Tensor | Sequence[Tensor], *, any_batch: bool) -> ExportedProgram:
    """Traces `model`, in evaluation mode, on inputs like `example`.

    Args:
        example: one tensor, or several of tokens `[N, T]`, whose length is dynamic too, up to the limit of the model.
        any_batch: whether the batch size is dynamic.

    Raises:
        ExportError: the control flow depends on data, or the model uses more than torch operators; it names the line.
    """
    from torch.export import Dim, export  # takes a second to import; opening a file does not need it

    inputs = (example,) if isinstance(example, Tensor) else tuple(example)
    batch: dict[int, Any] = {0: Dim(BATCH, min=1)}
    shapes: tuple[Any, ...] = (batch,) if isinstance(example, Tensor) else (tuple(batch | {1: Dim.DYNAMIC} for _ in inputs),)
    try:
        with suppress_logs(), torch.no_grad():
            return export(model, inputs, dynamic_shapes=shapes if any_batch else None, strict=False)
    except Exception as error:
        if "Constraints violated" in first_line(error) and BATCH in first_line(error):
            where = _fixing_line(lambda: export(model, inputs, dynamic_shapes=shapes, strict=False))
            raise ExportError(FIXED_BATCH, ANY_BATCH, where) from error
        raise _trace_error(error) from error


class _FixedSizes(logging.Handler):
    """Notes the lines of the model that fixed a size, from torch's log, which is written while they run."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if str(record.msg).startswith(FIXED) and (line := _line_of(traceback.extract_stack())):
            self.lines.append(line)


def _fixing_line(tracing: Callable[[], object]) -> str | None:
    """Traces again and returns the first line of the model that fixes a size; None if torch does not say."""
    log, noted = logging.getLogger(SHAPES_LOG), _FixedSizes()
    level, handlers, propagate = log.level, log.handlers, log.propagate
    log.handlers, log.propagate = [noted], False
    log.setLevel(logging.INFO)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            tracing()
    except Exception:  # the same as before
        pass
    finally:
        log.handlers, log.propagate = handlers, propagate
        log.setLevel(level)
    return next(iter(noted.lines), None)


def failing_line(error: BaseException) -> str | None:
    """Returns `file.py:12` of the innermost line outside torch and this package, below the call that failed, or None."""
    return _line_of(traceback.extract_tb(error.__traceback__))


def _line_of(frames: traceback.StackSummary) -> str | None:
    entered = [position for position, frame in enumerate(frames) if TORCH in Path(frame.filename).parents]
    for frame in reversed(frames[entered[0] :] if entered else []):
        file = Path(frame.filename)
        if not {TORCH, THIS_PACKAGE, LOGGING} & {*file.parents} and file.exists():
            return f"{file.name}:{frame.lineno}" + (f" ({frame.line})" if frame.line else "")
    return None


def _trace_error(error: Exception) -> ExportError:
    from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

    where, reason = failing_line(error), first_line(error)
    if isinstance(error, GuardOnDataDependentSymNode):
        return ExportError(DATA_DEPENDENT, KEEP_IN_GRAPH, where)
    return ExportError(f"torch.export cannot follow the model: {reason}", STAY_IN_TORCH if where else "", where)


def first_line(error: BaseException) -> str:
    """Returns the first line of an error message."""
    return next(iter(str(error).strip().splitlines()), "") or type(error).__name__
