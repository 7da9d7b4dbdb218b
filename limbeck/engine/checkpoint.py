"""Checkpoints: the state of a run in one safetensors file that is written atomically."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from limbeck.engine.finite_check import check_weights
from limbeck.utils.atomic_files import flush
from limbeck.utils.disk_full import DiskFullError, is_disk_full

FORMAT = 3  # 2 had no checksum
READ = (2, FORMAT)
FILE = "state.safetensors"
CHECKSUM = re.compile(rb'"checksum":"([0-9a-f]{64})"')  # in the header; the file is summed up with zeros in its place
ZEROS = "0" * 64
KEPT = 2  # the one before is there if the newest is damaged later (a failing disk)


class CheckpointError(RuntimeError):
    """A checkpoint cannot be written or read."""


class CheckpointFullError(CheckpointError, DiskFullError):
    """The disk is full; the message says what is kept and what to do."""


def save_checkpoint(folder: Path, state: Mapping[str, Any]) -> None:
    """Writes a state into a folder.

    The file is written under another name, flushed to disk and renamed, so that after `kill -9` or on a full disk the folder
    holds the old state or the new one, never a part.

    Args:
        folder: made if there is none.
        state: nested mappings and lists of tensors, numbers and strings.

    Raises:
        CheckpointError: it could not be written; what was there before is unchanged.
    """
    tensors: dict[str, Tensor] = {}
    described = {"limbeck": json.dumps({"format": FORMAT, "state": _split(state, "", tensors)}), "checksum": ZEROS}
    beside = folder / f".{FILE}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_file(_unshared(tensors), beside, metadata=described)
        _write_checksum(beside)
        flush(beside)
        os.replace(beside, folder / FILE)
        flush(folder)
    except (OSError, SafetensorError) as error:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
            folder.rmdir()  # fails if something else is in it
        kind = CheckpointFullError if is_disk_full(error) else CheckpointError
        raise kind(
            f"could not write the checkpoint {folder}: {error}. What was saved before is complete; make room, then continue "
            "with --resume (in Python: resume=True), or a build of a cache with the same command"
        ) from error


def load_checkpoint(folder: Path) -> dict[str, Any]:
    """Reads what `save_checkpoint` wrote.

    Raises:
        CheckpointError: the file is damaged, of another program, or of another version.
    """
    file = folder / FILE
    training = folder.parent  # holds all checkpoints of the training; the best state alone does not start it over
    try:
        summed, expected = _checksum(file)
        with safe_open(file, framework="pt") as opened:
            metadata = opened.metadata() or {}
        if expected is not None and summed != expected:
            raise ValueError("its checksum is not the one of what was written")
        described = json.loads(metadata["limbeck"])
        if described.get("format") == FORMAT and expected is None:
            raise ValueError("it has no checksum")
        tensors = load_file(file)
    except KeyError as error:
        raise CheckpointError(f"{file} is no checkpoint of a run: another program wrote it. Move it away") from error
    except (OSError, ValueError, SafetensorError) as error:
        raise CheckpointError(f"{file} is damaged: {error}. Delete {training} to start this training over") from error
    if described.get("format") not in READ:
        raise CheckpointError(
            f"{file} has format {described.get('format')}; this version reads format {FORMAT}. Resume with the version that "
            f"wrote it, or delete {training} to start this training over"
        )
    state = _join(described["state"], tensors)
    assert isinstance(state, dict)
    return state


class Checkpoints:
    """The checkpoints of one training in a folder; the newest two are kept."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, update: int, state: Mapping[str, Any]) -> Path:
        """Writes a checkpoint, then deletes older ones.

        Args:
            update: number of updates so far, which names the folder.
            state: of the run.

        Raises:
            NonFiniteError: a model holds NaN; earlier checkpoints are unchanged.
            CheckpointError: it could not be written; earlier checkpoints are unchanged.
        """
        check_weights(state.get("actors", {}), update)
        folder = self.folder / f"step-{update:09d}"
        save_checkpoint(folder, state)
        kept = [one for one in self.found() if one <= folder][-KEPT:]  # later ones are of a training that was started over
        for old in set(self.folder.glob("step-*")) - set(kept):
            shutil.rmtree(old, ignore_errors=True)
        return folder

    def found(self) -> list[Path]:
        """Returns the folders of all checkpoints, oldest first."""
        return sorted(file.parent for file in self.folder.glob(f"step-*/{FILE}"))

    def newest(self) -> dict[str, Any] | None:
        """Returns the state of the newest readable checkpoint; None if there is none."""
        found = self.found()
        for folder in reversed(found):
            try:
                return load_checkpoint(folder)
            except CheckpointError as error:
                if folder == found[0]:
                    raise
                warnings.warn(f"{error}. Going on from the checkpoint before", stacklevel=2)
        return None


def _split(value: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    """Returns the state as a JSON tree; its tensors are moved to `tensors` under numbered paths."""
    if isinstance(value, Tensor):
        key = f"{len(tensors)}{path}"  # the number keeps "a/b" apart from "b" within "a"
        tensors[key] = value.detach()
        return {"__tensor__": key}
    if isinstance(value, Mapping):
        # Optimizers have integers as keys, which JSON turns into text.
        integers = bool(value) and all(isinstance(key, int) for key in value)
        tree = {str(key): _split(part, f"{path}/{key}", tensors) for key, part in value.items()}
        return {"__integers__": tree} if integers else tree
    if isinstance(value, list | tuple):
        return [_split(part, f"{path}/{index}", tensors) for index, part in enumerate(value)]
    return value


def _join(tree: Any, tensors: Mapping[str, Tensor]) -> Any:
    """Inverts `_split`."""
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
    """Returns contiguous tensors of which no two share memory, as safetensors requires."""
    seen: set[int] = set()
    own = {}
    for name, tensor in tensors.items():
        pointer = tensor.untyped_storage().data_ptr()
        own[name] = tensor.clone(memory_format=torch.contiguous_format) if pointer in seen else tensor.contiguous()
        seen.add(pointer)
    return own


def _write_checksum(file: Path) -> None:
    """Writes the checksum of a checkpoint into the place that its header keeps for it."""
    summed, _ = _checksum(file)
    with file.open("r+b") as opened:
        found = CHECKSUM.search(opened.read(_header_end(file)))
        assert found is not None, "save_checkpoint has written zeros there"
        opened.seek(found.start(1))
        opened.write(summed.encode())


def _checksum(file: Path) -> tuple[str, str | None]:
    """Returns the checksum of a checkpoint as it is, and the one that its header states; None if it states none."""
    with file.open("rb") as opened:
        header = opened.read(_header_end(file))
        found = CHECKSUM.search(header)
        if found is not None:
            header = header[: found.start(1)] + ZEROS.encode() + header[found.end(1) :]
        summed = hashlib.blake2b(header, digest_size=32)
        while part := opened.read(1 << 20):
            summed.update(part)
    return summed.hexdigest(), None if found is None else found.group(1).decode()


def _header_end(file: Path) -> int:
    """Returns the number of bytes before the tensors: the length of the header, which comes first, and the header."""
    with file.open("rb") as opened:
        return min(8 + int.from_bytes(opened.read(8), "little"), file.stat().st_size)
