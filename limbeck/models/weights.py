"""Saves weights as safetensors atomically, and loads them with an explanation if they do not match the model."""

from __future__ import annotations

import hashlib
import pickle
import re
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import nn

from limbeck.models.base import spec_of
from limbeck.models.checkpoint_keys import SHOWN, State, find_state
from limbeck.models.fresh_head import trunk_of
from limbeck.utils.atomic_files import write_atomic
from limbeck.utils.checksums import check_file

WEIGHTS = "model.safetensors"  # in the folder of a model
TORCH_SUFFIXES = (".pt", ".pth", ".th", ".bin", ".ckpt")
CONVERT = (
    "If you trust the file, open it with the code that wrote it and convert it once: "
    "safetensors.torch.save_file(model.state_dict(), 'weights.safetensors')"
)


def save_weights(model: nn.Module, path: str | Path) -> None:
    """Saves the `state_dict` of `model` as safetensors.

    The file is written beside `path`, flushed to disk and renamed: a full disk or a crash leaves the old file intact. Tensors
    with several names (tied embeddings) are written once.

    Raises:
        OSError: the disk is full, or the folder is not writable.
    """
    aliases = _aliases(model)
    own = {key: tensor for key, tensor in model.state_dict().items() if key not in aliases}
    state = {key: tensor.detach().cpu().contiguous() for key, tensor in own.items()}
    write_atomic(Path(path), safetensors.torch.save(state, metadata={"format": "pt"}))


def weights_digest(model: nn.Module) -> str | None:
    """Returns a checksum of all values of a `state_dict`, whatever their names; None if they are no plain tensors."""
    parts = []
    for tensor in model.state_dict().values():
        try:
            plain = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
        except (RuntimeError, TypeError, NotImplementedError, AttributeError):  # a quantized one
            return None
        parts.append(hashlib.sha256(plain.tobytes()).digest() + str(tuple(tensor.shape)).encode())
    return hashlib.sha256(b"".join(sorted(parts))).hexdigest()


def load_weights(model: nn.Module, path: str | Path, *, fresh_head: bool = False) -> None:
    """Loads the weights in `path` into `model`: all of them, or none on an error.

    Reads `.safetensors`, also that in the folder of a model, and `.pt`, `.pth`, `.th`, `.bin`, `.ckpt` with
    `torch.load(weights_only=True)`, which runs no code. The weights are found inside wrappers such as `{"state_dict": …}` and
    behind prefixes of their keys such as `module.` and `student.`.

    Args:
        fresh_head: load all but the head, which keeps the weights that it has: for another number of classes, or other classes.
            A warning names what is left out.

    Raises:
        FileNotFoundError: the file does not exist.
        DamagedFileError: it is not as a run has written it.
        ValueError: another file type, a truncated file, one with more than tensors, or weights of another model; the message
            has the first differing keys and the likely reason.
    """
    own, aliases = model.state_dict(), _aliases(model)
    content = _read(Path(path).expanduser())
    find = trunk_of if fresh_head else find_state
    state = find(content, own, path, aliases)
    for key in own.keys() - state.keys() - aliases.keys() if fresh_head else ():
        state[key] = own[key]
    for alias, key in aliases.items():
        if alias not in state and key in state:
            state[alias] = state[key]
    for key in own.keys() - state.keys():
        if key.endswith("num_batches_tracked"):  # not a weight, and absent before torch 0.4.1
            state[key] = own[key]
    _check(state, own, model, path)
    model.load_state_dict(state)


def _read(path: Path) -> Any:
    if path.is_dir() and (path / WEIGHTS).is_file():
        path = path / WEIGHTS
    if not path.is_file():
        raise FileNotFoundError(f"no weights at {path}" + (f": the folder holds no {WEIGHTS}" if path.is_dir() else ""))
    check_file(path)
    if path.suffix == ".safetensors":
        try:
            return safetensors.torch.load_file(path)
        except SafetensorError as error:
            raise ValueError(f"{path} is truncated, or not a safetensors file: {error}") from error
    if path.suffix not in TORCH_SUFFIXES:
        raise ValueError(
            f"{path}: weights are read from .safetensors or {', '.join(TORCH_SUFFIXES)}, "
            f"got {path.suffix or 'no suffix'!r}; other files may run code when they are loaded. {CONVERT}"
        )
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = str(error).split(". ", 1)[0].split("\n", 1)[0].rstrip(".") + "."  # without advice to load it all the same
        raise ValueError(
            f"{path} is damaged or contains more than tensors, and loading it could run code: {reason} {CONVERT}"
        ) from error
    except (RuntimeError, EOFError, OSError, KeyError, ValueError) as error:
        raise ValueError(f"{path} is truncated, or not a torch checkpoint: {error}") from error


def _aliases(model: nn.Module) -> dict[str, str]:
    """Maps each name of a shared tensor to its first name."""
    first: dict[tuple[object, ...], str] = {}
    aliases = {}
    for key, tensor in model.state_dict().items():
        storage = (tensor.device, tensor.data_ptr(), tensor.dtype, tuple(tensor.shape), tensor.stride())
        if tensor.numel() and tensor.data_ptr() and first.setdefault(storage, key) != key:
            aliases[key] = first[storage]
    return aliases


def _check(state: State, own: State, model: nn.Module, path: str | Path) -> None:
    state = dict(sorted(state.items(), key=lambda item: item[0].endswith("num_batches_tracked")))  # the least informative last
    missing = [f"missing {key} {list(own[key].shape)}" for key in own if key not in state]
    unexpected = [f"unexpected {key} {list(state[key].shape)}" for key in state if key not in own]
    shapes = [key for key in own if key in state and own[key].shape != state[key].shape]
    resized = [f"{key} is {list(state[key].shape)}, the model needs {list(own[key].shape)}" for key in shapes]
    # One of each kind before a second of any: many missing keys must not hide that the head differs.
    rounds = zip(*(group + [""] * len(own | state) for group in (resized, missing, unexpected)), strict=False)
    lines = [line for group in rounds for line in group if line]
    if lines:
        rest = f" and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
        built = (spec_of(model) or {"model": type(model).__name__})["model"]
        raise ValueError(
            f"{path} does not match this {built}: {'; '.join(lines[:SHOWN])}{rest}. Likely reason: {_reason(state, own)}."
        )


def _reason(state: State, own: State) -> str:
    """Returns the likely difference between the saved model and this one."""
    common = state.keys() & own.keys()
    differing = {key for key in common if state[key].shape != own[key].shape}
    if len(common) < 0.1 * len(own):
        return "the file belongs to another architecture"
    if state.keys() != own.keys():
        kinds = {re.sub(r"\d+", "#", key) for key in state}, {re.sub(r"\d+", "#", key) for key in own}
        return "another depth" if kinds[0] == kinds[1] else "another architecture, or a variant with other parts"
    if all(state[key].shape[1:] == own[key].shape[1:] for key in differing) and len(differing) <= 2:
        key = min(differing)
        return f"another number of classes ({state[key].shape[0]} in the file, {own[key].shape[0]} in the model)"
    if len(differing) == 1 and state[min(differing)].dim() == 4:
        return "another number of input channels"
    return "another width, or other sizes of the same layers"
