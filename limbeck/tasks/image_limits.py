"""What images a model takes, found by trying: for the message where it does not take those of the data."""

from __future__ import annotations

import torch
from torch import nn

from limbeck.core.model_io import call_model, preserve_modes
from limbeck.data import Items

SIZES = (8, 16, 28, 32, 48, 64, 96, 112, 128, 160, 192, 224, 240, 256, 288, 299, 320, 336, 384, 448, 512)
CHANNELS = (1, 3)
ERRORS = (RuntimeError, ValueError, TypeError, IndexError)


def accepted_images(model: nn.Module, items: Items) -> str | None:
    """Returns in words which images a model takes in place of those of the data, and how the data becomes so.

    None for other inputs than images, if it takes these, and if none of the usual sizes and numbers of channels is taken.
    """
    shape = tuple(getattr(items.fetch(torch.tensor([0])), "shape", ()))
    if len(shape) != 4:
        return None
    channels, height, width = shape[1:]
    found = accepted_shape(model, (channels, height, width))
    if found is None:
        return None
    changes = [] if found[0] == channels else [f"channels: {found[0]}"]
    changes += [] if found[1:] == (height, width) else [f"size: {found[1]}"]
    return (
        f"it takes images of {_text(found)}, and these are {_text((channels, height, width))}: set {' and '.join(changes)} of "
        "all data, or build the model for these"
    )


def accepted_shape(model: nn.Module, shape: tuple[int, ...]) -> tuple[int, int, int] | None:
    """Returns the images that a model takes in place of those of `shape`; None if it takes these, or none of the usual ones."""
    if len(shape) != 3 or _takes(model, shape):
        return None
    channels, height, width = shape
    others = [number for number in CHANNELS if number != channels]
    tried = [(number, height, width) for number in others]
    tried += [(number, size, size) for number in (channels, *others) for size in SIZES]
    return next((one for one in tried if _takes(model, one)), None)


@torch.no_grad()
def _takes(model: nn.Module, shape: tuple[int, ...]) -> bool:
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    with preserve_modes(model):
        try:
            call_model(model.eval(), torch.zeros(1, *shape, device=device))
        except ERRORS:
            return False
    return True


def _text(shape: tuple[int, int, int]) -> str:
    """Channels × height × width."""
    return "×".join(map(str, shape))


def other_precision(model: nn.Module) -> str | None:
    """Says that a model is in another precision than its inputs, and what to do; None if it is in float32."""
    kinds = {parameter.dtype for parameter in model.parameters() if parameter.is_floating_point()}
    if not kinds or torch.float32 in kinds:
        return None
    kind = str(kinds.pop()).removeprefix("torch.")
    return f"its parameters are {kind}, and inputs are float32: hand over model.float() (training.precision: …)"
