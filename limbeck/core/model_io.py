"""How a model is called and how its output is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.core.errors import TapError
from limbeck.core.signals import LinearLogits, Signal

EMBEDDING = "sentence_embedding"  # what a model of Sentence Transformers returns


LOGITS = "logits"  # the tap that every model has: what its forward returns


def call_model(model: nn.Module, inputs: Any) -> Any:
    """Call a model with one tensor, or with keyword arguments where the inputs are a mapping."""
    return model(**inputs) if isinstance(inputs, Mapping) else model(inputs)


def logits_of(output: Any) -> Tensor | Signal:
    """The logits within whatever a model returns: a tensor, an object or mapping with `logits`, or a tuple's first part. Of a
    model of extractive answers, where they start and where they end, [B, 2, T]; of a sentence encoder, the embedding."""
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
    """Leave every submodule in the mode (training or evaluation) that it has now, whatever happens inside."""
    before = [(module, module.training) for model in models for module in model.modules()]
    try:
        yield
    finally:
        for module, training in before:
            module.training = training


def as_channels_last(inputs: Any) -> Any:
    """Images in channels-last memory; everything else as it is."""
    if isinstance(inputs, Tensor) and inputs.ndim == 4:
        return inputs.contiguous(memory_format=torch.channels_last)
    return inputs
