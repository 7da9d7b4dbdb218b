"""What images a model takes, found by trying: for the message where it does not take those of the data."""

from __future__ import annotations

import torch
from torch import Tensor, nn

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


def why_unreadable(model: nn.Module, items: Items, error: Exception) -> str:
    """Says that a model does not run on items and why, as far as that is known, with what it raised: an error and its notes."""
    taken = (_other_precision(model, items) if "type" in str(error) else None) or accepted_images(model, items)
    own = "; ".join([str(error).split("\n", 1)[0], *getattr(error, "__notes__", [])])  # notes name a member of an ensemble
    return f"({type(model).__name__}) cannot read it: {own if taken is None else f'{taken} ({own})'}"


def _other_precision(model: nn.Module, items: Items) -> str | None:
    """Says that a model and its inputs differ in precision, and what to do; None if both are in float32."""
    kinds = {parameter.dtype for parameter in model.parameters() if parameter.is_floating_point()}
    if not kinds:
        return None
    if torch.float32 not in kinds:
        return (
            f"its parameters are {_name(kinds.pop())}, and inputs are float32: hand over model.float() (training.precision: …)"
        )
    inputs = items.fetch(torch.arange(1))
    if isinstance(inputs, Tensor) and inputs.dtype not in (torch.float32, torch.uint8):
        return f"inputs are {_name(inputs.dtype)}, and its parameters are float32: hand over inputs.float()"
    return None


def _name(kind: torch.dtype) -> str:
    return str(kind).removeprefix("torch.")
