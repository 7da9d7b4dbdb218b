"""The whole state of a run on disk: one safetensors file, replaced in one go, so that a checkpoint is whole or not there."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from limbeck.engine.checks import NonFiniteError

FORMAT = 2
FILE = "state.safetensors"
KEPT = 2  # should the newest checkpoint be damaged later (a failing disk), the one before is still there


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be written or read."""


def save_checkpoint(folder: Path, state: Mapping[str, Any]) -> None:
    """Write `state` (nested mappings and lists of tensors, numbers, strings) into the folder `folder`.

    Tensors and their tree are one file, written beside, flushed to disk and renamed: at every update, also after `kill -9` or
    on a full disk, the folder holds the old state or the new one, never a part.
    """
    tensors: dict[str, Tensor] = {}
    described = {"limbeck": json.dumps({"format": FORMAT, "state": _split(state, "", tensors)})}
    beside = folder / f".{FILE}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_file(_unshared(tensors), beside, metadata=described)
        _flush(beside)
        os.replace(beside, folder / FILE)
        _flush(folder)
    except (OSError, SafetensorError) as error:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
            folder.rmdir()  # only where nothing else is in it
        raise CheckpointError(
            f"could not write the checkpoint {folder}: {error}. What was saved before is whole; make room, then go on with "
            "--resume (in Python: resume=True)"
        ) from error


def load_checkpoint(folder: Path) -> dict[str, Any]:
    """Read what `save_checkpoint` wrote."""
    file = folder / FILE
    try:
        with safe_open(file, framework="pt") as opened:
            described = json.loads((opened.metadata() or {})["limbeck"])
        tensors = load_file(file)
    except KeyError as error:
        raise CheckpointError(f"{file} is no checkpoint of a run: another program wrote it. Move it away") from error
    except (OSError, ValueError, SafetensorError) as error:
        raise CheckpointError(f"{file} is damaged: {error}. Delete {folder} to begin this training anew") from error
    if described.get("format") != FORMAT:
        raise CheckpointError(f"{file} has format {described.get('format')}; this version reads format {FORMAT}")
    state = _join(described["state"], tensors)
    assert isinstance(state, dict)
    return state


class Checkpoints:
    """The checkpoints of one training in a folder: the newest to resume from, and the one before."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, update: int, state: Mapping[str, Any]) -> Path:
        """Write the checkpoint of this update (updates done so far), then drop the older ones.

        Raises:
            NonFiniteError: a model holds NaN; the checkpoints before stay as they are.
        """
        _refuse_nan(state.get("actors", {}), update)
        folder = self.folder / f"step-{update:09d}"
        save_checkpoint(folder, state)
        kept = [one for one in self.found() if one <= folder][-KEPT:]  # later ones belong to a training that was begun anew
        for old in set(self.folder.glob("step-*")) - set(kept):
            shutil.rmtree(old, ignore_errors=True)
        return folder

    def found(self) -> list[Path]:
        return sorted(file.parent for file in self.folder.glob(f"step-*/{FILE}"))

    def newest(self) -> dict[str, Any] | None:
        """The state of the newest whole checkpoint; None where there is none."""
        found = self.found()
        for place in reversed(found):
            try:
                return load_checkpoint(place)
            except CheckpointError as error:
                if place == found[0]:
                    raise
                warnings.warn(f"{error}. Going on from the checkpoint before", stacklevel=2)
        return None


def _refuse_nan(actors: Mapping[str, Mapping[str, Tensor]], update: int) -> None:
    """A finite loss can have a gradient that is none; the weights are then lost before the next loss shows it."""
    for name, tensors in actors.items():
        for key, tensor in tensors.items():
            if tensor.is_floating_point() and bool(tensor.isnan().any()):
                raise NonFiniteError(
                    f"{key} of the {name} holds NaN at step {update}, so no checkpoint is written; the last one is whole. Try "
                    "a smaller learning rate, gradient clipping (clip: 1.0) or precision: float32"
                )


def _split(value: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    """The JSON tree of a state, its tensors put aside under numbered paths."""
    if isinstance(value, Tensor):
        key = f"{len(tensors)}{path}"  # the number keeps "a/b" apart from "b" within "a"
        tensors[key] = value.detach()
        return {"__tensor__": key}
    if isinstance(value, Mapping):
        # Optimizers key their state by integers, which JSON turns to text.
        integers = bool(value) and all(isinstance(key, int) for key in value)
        tree = {str(key): _split(part, f"{path}/{key}", tensors) for key, part in value.items()}
        return {"__integers__": tree} if integers else tree
    if isinstance(value, list | tuple):
        return [_split(part, f"{path}/{place}", tensors) for place, part in enumerate(value)]
    return value


def _join(tree: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(tree, dict):
        if "__tensor__" in tree:
            return tensors[tree["__tensor__"]]
        if "__integers__" in tree:
            return {int(key): _join(part, tensors) for key, part in tree["__integers__"].items()}
        return {key: _join(part, tensors) for key, part in tree.items()}
    if isinstance(tree, list):
        return [_join(part, tensors) for part in tree]
    return tree


def _unshared(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Contiguous tensors of which no two share memory, as safetensors wants them."""
    seen: set[int] = set()
    own = {}
    for name, tensor in tensors.items():
        place = tensor.untyped_storage().data_ptr()
        own[name] = tensor.clone(memory_format=torch.contiguous_format) if place in seen else tensor.contiguous()
        seen.add(place)
    return own


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
