"""Another view of inputs that are made, through which gradient passes: the variant `augmented` within a synthesis."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from limbeck.core.model_io import call_model

SHIFT = 8  # images are shifted by up to a part of their size
NOISE = 0.05  # deviation of the noise, relative to that of the inputs


def run_augmented(model: nn.Module, inputs: Any, generator: torch.Generator) -> Any:
    """The model's output for augmented inputs, as a variant of an actor: `teacher@augmented`."""
    return call_model(model, augment(inputs, generator))


def augment(inputs: Tensor, generator: torch.Generator) -> Tensor:
    """Inputs with a little noise; images [B, C, H, W] shifted too, by up to an eighth of their size, their edges repeated."""
    if inputs.ndim == 4:
        inputs = shift(inputs, generator)
    noise = torch.randn(inputs.shape, generator=generator).to(inputs)
    return inputs + NOISE * inputs.detach().std() * noise


def shift(images: Tensor, generator: torch.Generator) -> Tensor:
    """Each image moved by a distance of its own."""
    height, width = images.shape[2:]
    rows, columns = (_shifted_places(len(images), length, generator).to(images.device) for length in (height, width))
    items = torch.arange(len(images), device=images.device)[:, None, None]
    return images[items, :, rows[:, :, None], columns[:, None, :]].movedim(-1, 1)


def _shifted_places(count: int, length: int, generator: torch.Generator) -> Tensor:
    """Where each place of an axis is read, `[count, length]`."""
    most = max(1, length // SHIFT)
    by = torch.randint(-most, most + 1, (count, 1), generator=generator)
    return (torch.arange(length) + by).clamp(0, length - 1)
