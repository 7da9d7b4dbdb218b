"""How a model is called and how its output is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.core.errors import TapError
from limbeck.core.signals import LinearLogits, Signal

LOGITS = "logits"  # the tap that every model has: the output of its forward
EMBEDDING = "sentence_embedding"  # the key of the output of Sentence Transformers' models


def call_model(model: nn.Module, inputs: Any) -> Any:
    """Calls a model with one tensor, or with keyword arguments if the inputs are a mapping."""
    return model(**inputs) if isinstance(inputs, Mapping) else model(inputs)


def logits_of(output: Any) -> Tensor | Signal:
    """The logits in the output of a model: a tensor, an object or mapping with `logits`, or the first element of a tuple.

    Of a model for extractive question answering, start and end logits [B, 2, T]; of a sentence encoder, the embedding.

    Raises:
        TapError: the output holds none of these.
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
        return logits_of(output[0])
    raise TapError(f"the model returned {type(output).__name__}, in which no logits were found; name a tap instead")


@contextmanager
def preserve_modes(*models: nn.Module) -> Iterator[None]:
    """Restores the mode (training or evaluation) of every submodule afterwards."""
    before = [(module, module.training) for model in models for module in model.modules()]
    try:
        yield
    finally:
        for module, training in before:
            module.training = training


def as_channels_last(inputs: Any) -> Any:
    """Images in channels-last memory format; everything else unchanged."""
    if isinstance(inputs, Tensor) and inputs.ndim == 4:
        return inputs.contiguous(memory_format=torch.channels_last)
    return inputs
