"""Whether a saved model can be loaded again and is the same then: a model may have been altered after it was built."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from torch import Tensor, nn

from limbeck.models.base import spec_of
from limbeck.models.saving import load_model, save_model
from limbeck.utils.disk_full import is_disk_full

UNREADABLE = (ValueError, OSError, RuntimeError, TypeError, KeyError, ImportError, AttributeError)


def can_be_saved_whole(model: nn.Module) -> bool:
    """Whether a folder can say how the model is built: it has a recorded spec, or a library that writes one."""
    return spec_of(model) is not None or (hasattr(model, "save_pretrained") and not hasattr(model, "peft_config"))


def saving_problem(model: nn.Module, folder: Path | None = None) -> str | None:
    """Saves a model, loads it again and compares the two.

    Args:
        folder: to be written; None: a temporary one.

    Returns:
        What is wrong, in words; None if the loaded model has the same tensors, rounded if the model saves them so.

    Raises:
        OSError: the disk is full.
    """
    if folder is None:
        with tempfile.TemporaryDirectory() as place:
            return saving_problem(model, Path(place) / "model")
    try:
        save_model(model, None, folder)
        loaded = load_model(folder)
    except UNREADABLE as error:
        if is_disk_full(error):  # this says nothing of the model
            raise
        return str(error).splitlines()[0]
    found = loaded.state_dict()
    for name, tensor in model.state_dict().items():
        if name not in found:
            return f"the loaded model has no {name}"
        if found[name].shape != tensor.shape:
            return f"{name} is {list(tensor.shape)}, and {list(found[name].shape)} in the loaded model"
        if not torch.equal(found[name].to(tensor.dtype), _as_in_file(model, tensor)):
            return f"{name} has other values in the loaded model"
    return None


def _as_in_file(model: nn.Module, tensor: Tensor) -> Tensor:
    """The tensor as the file of its model holds it: in half precision where the model says so (`half_in_file`)."""
    tensor = tensor.detach().cpu()
    rounded = bool(getattr(model, "half_in_file", False)) and tensor.is_floating_point()
    return tensor.half().to(tensor.dtype) if rounded else tensor
