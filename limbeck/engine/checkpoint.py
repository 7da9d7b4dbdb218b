"""The whole state of a run on disk: tensors in safetensors, everything else in JSON, each checkpoint whole or not there."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

FORMAT = 1


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be written or read."""


def save_checkpoint(folder: Path, state: Mapping[str, Any]) -> None:
    """Write `state` (nested mappings and lists of tensors, numbers, strings) as the folder `folder`.

    It is written beside, flushed to disk and then renamed, so that at every moment `folder` is whole or absent.
    """
    tensors: dict[str, Tensor] = {}
    tree = _split(state, "", tensors)
    beside = folder.with_name(f".writing-{folder.name}")
    shutil.rmtree(beside, ignore_errors=True)
    try:
        beside.mkdir(parents=True)
        save_file(_unshared(tensors), beside / "state.safetensors")
        (beside / "state.json").write_text(json.dumps({"format": FORMAT, "state": tree}))
        for file in beside.iterdir():
            _flush(file)
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(beside, folder)
        _flush(folder.parent)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(beside, ignore_errors=True)
        raise CheckpointError(
            f"could not write {folder}: {error}. Earlier checkpoints are whole; free space and resume."
        ) from error


def load_checkpoint(folder: Path) -> dict[str, Any]:
    """Read what `save_checkpoint` wrote."""
    try:
        tree = json.loads((folder / "state.json").read_text())
        tensors = load_file(folder / "state.safetensors")
    except (OSError, ValueError, SafetensorError) as error:
        raise CheckpointError(f"{folder} is no whole checkpoint: {error}. Remove it to resume from the one before.") from error
    if tree.get("format") != FORMAT:
        raise CheckpointError(f"{folder} has format {tree.get('format')}; this version reads format {FORMAT}")
    state = _join(tree["state"], tensors)
    assert isinstance(state, dict)
    return state


class Checkpoints:
    """The checkpoints of one training in a folder: the newest to resume from."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, moment: int, state: Mapping[str, Any]) -> Path:
        """Write the checkpoint of this moment (updates done so far), then drop the older ones."""
        folder = self.folder / f"step-{moment:09d}"
        save_checkpoint(folder, state)
        for old in self.found()[:-1]:
            shutil.rmtree(old, ignore_errors=True)
        return folder

    def found(self) -> list[Path]:
        return sorted(self.folder.glob("step-*"))

    def newest(self) -> dict[str, Any] | None:
        """The state of the newest whole checkpoint; None where there is none."""
        found = self.found()
        return load_checkpoint(found[-1]) if found else None


def _split(value: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    """The JSON tree of a state, its tensors put aside under their paths."""
    if isinstance(value, Tensor):
        tensors[path] = value.detach()
        return {"__tensor__": path}
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
