"""How a model is called and how its output is read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.core.errors import TapError
from limbeck.core.signals import LinearLogits, Signal

LOGITS = "logits"  # the tap that every model has: the output of its forward
POSITION = re.compile(r"\((\d+)\)")  # of a part in a tuple
EMBEDDING = "sentence_embedding"  # the key of the output of Sentence Transformers' models


def call_model(model: nn.Module, inputs: Any) -> Any:
    """Calls a model with one tensor, or with keyword arguments if the inputs are a mapping."""
    if isinstance(inputs, Tensor):
        return model(inputs)
    return model(**inputs) if isinstance(inputs, Mapping) else model(inputs)


def in_precision_of(parameters: Sequence[nn.Parameter], inputs: Any) -> Any:
    """Returns inputs in the precision of a model's parameters, if none is in theirs; integers, such as token ids, as they are.

    Actors of one step may have different precisions: a loop may have converted the student and the batch, and not the teacher.
    """
    if not isinstance(inputs, Tensor):
        if isinstance(inputs, Mapping):
            return {name: in_precision_of(parameters, part) for name, part in inputs.items()}
        return inputs
    if not parameters or parameters[0].dtype is inputs.dtype or not inputs.is_floating_point():
        return inputs
    own = next((each.dtype for each in parameters if each.is_floating_point()), inputs.dtype)
    return inputs if any(each.dtype == inputs.dtype for each in parameters) else inputs.to(own)


def logits_of(output: Any) -> Tensor | Signal:
    """The logits in the output of a model: a tensor, an object or mapping with `logits`, or the first element of a tuple.

    Of a model for extractive question answering, start and end logits [B, 2, T]; of a sentence encoder, the embedding.

    Raises:
        TapError: the output holds none of these, or is a tuple with several matrices of real numbers, such as features
            and logits, or the logits of a classifier and of a distillation head: the actor's `output` has to choose one.
    """
    if isinstance(output, Tensor | LinearLogits):
        return output
    if isinstance(output, Mapping) and LOGITS in output:
        return logits_of(output[LOGITS])
    if hasattr(output, LOGITS):
        return logits_of(output.logits)
    if hasattr(output, "start_logits"):
        return torch.stack([output.start_logits, output.end_logits], 1)
    if isinstance(output, Mapping) and EMBEDDING in output:
        return logits_of(output[EMBEDDING])
    if isinstance(output, tuple | list) and output:
        _refuse_to_guess(output)
        return logits_of(output[0])
    remedy = "name a tap instead"
    if parts := _parts_of(output):
        remedy = (
            f"choose one by the actor's output, such as output: {parts[0]} (in Python: trained(model, output={parts[0]!r}))"
        )
    raise TapError(f"the model returned {_describe(output)}, in which no logits were found; {remedy}")


def select_output(output: Any, choice: str = LOGITS) -> Tensor | Signal:
    """The output that `Actor.output` names: `"logits"`, a key or attribute, or a position in a tuple such as `"(1)"`.

    Raises:
        TapError: the output has no such part; the message lists those it has.
    """
    if choice == LOGITS:
        return output if isinstance(output, Tensor) else logits_of(output)
    part = part_of(output, choice)
    if part is None:
        raise TapError(
            f"output {choice!r}: the model returned {_describe(output)}; name a key of it, a position such as '(1)', or the "
            "path of a module"
        )
    return logits_of(part)


def part_of(output: Any, choice: str) -> Any:
    """The part of an output with this key, attribute or position; None if there is none. A lone tensor is its own first part:
    models return a tuple in training mode, and their prediction alone in evaluation mode."""
    if match := POSITION.fullmatch(choice):
        position = int(match[1])
        if isinstance(output, Tensor):
            return output if position == 0 else None
        parts = tuple(output.values()) if isinstance(output, Mapping) else output
        return parts[position] if isinstance(parts, tuple | list) and position < len(parts) else None
    if isinstance(output, Mapping):
        return output.get(choice)
    part = None if isinstance(output, Tensor) else getattr(output, choice, None)
    return part if isinstance(part, Tensor | Signal) else None


def _refuse_to_guess(parts: Sequence[Any]) -> None:
    """Raises a TapError if several parts of a tuple could be the logits."""
    matrices = [part for part in parts if isinstance(part, Tensor) and part.ndim == 2 and part.is_floating_point()]
    if len(matrices) > 1 and parts[0] is matrices[0]:
        raise TapError(
            f"the model returned {_describe(parts)}, and several could be its logits; choose one by the actor's output, "
            'such as output: "(1)" (in Python: trained(model, output="(1)"))'
        )


def _parts_of(output: Any) -> list[str]:
    """The keys of a mapping, or the attributes of an object, that are tensors of real numbers with an axis of items."""
    named = output if isinstance(output, Mapping) else getattr(output, "__dict__", {})
    parts = {str(name): part for name, part in named.items() if isinstance(part, Tensor)}
    return [name for name, part in parts.items() if part.is_floating_point() and part.ndim > 1]


def _describe(output: Any) -> str:
    if isinstance(output, Tensor):
        return f"a tensor {tuple(output.shape)}"
    if isinstance(output, Mapping):
        return f"{type(output).__name__} with the keys {', '.join(map(str, output))}"
    if isinstance(output, tuple | list):
        shapes = [tuple(part.shape) if isinstance(part, Tensor) else type(part).__name__ for part in output]
        return "a tuple of " + ", ".join(f"({position}): {shape}" for position, shape in enumerate(shapes))
    return type(output).__name__


@contextmanager
def preserve_modes(*models: nn.Module) -> Iterator[None]:
    """Restores the mode (training or evaluation) of every submodule afterwards."""
    before = [(module, module.training) for model in models for module in model.modules()]
    try:
        yield
    finally:
        for module, training in before:
            module.training = training


@contextmanager
def preserve_buffers(model: nn.Module) -> Iterator[None]:
    """Restores the buffers of a model, such as BatchNorm's statistics, afterwards. Autograd does not see it as a change."""
    before = [(buffer, buffer.detach().clone()) for buffer in model.buffers()]
    try:
        yield
    finally:
        for buffer, value in before:
            buffer.data.copy_(value)


def as_channels_last(inputs: Any) -> Any:
    """Images in channels-last memory format; everything else unchanged."""
    if isinstance(inputs, Tensor) and inputs.ndim == 4:
        return inputs.contiguous(memory_format=torch.channels_last)
    return inputs


def is_traced() -> bool:
    """Whether the code runs to be traced or exported, so that it must not decide by values of tensors."""
    from torch.fx.experimental.proxy_tensor import get_proxy_mode

    return torch.compiler.is_compiling() or torch._C._get_tracing_state() is not None or get_proxy_mode() is not None
