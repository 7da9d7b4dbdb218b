"""Tensors as Flower's records and back: numbers only, no pickle, within a limit, counted in bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import torch
from flwr.app import Array, ArrayRecord, RecordDict
from torch import Tensor

Precision = Literal["float32", "float16", "int8"]
SCALE = ".int8_scale"  # ends the name of the factor of an array that is sent as int8
STYPE = "numpy.ndarray"
DTYPES = ("float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint8", "bool")
SEPARATOR = "|"  # between the name of a group and that of an array


class PayloadError(ValueError):
    """A message that is refused."""


def to_record(state: Mapping[str, Tensor], precision: Precision = "float32", *, group: str = "") -> ArrayRecord:
    """Returns tensors as arrays.

    Args:
        precision: of floating-point tensors. "int8": matrices w become round(w / s), s = max|w| / 127; vectors stay float32.
        group: whose tensors they are, if a record holds those of several.
    """
    arrays: dict[str, Tensor] = {}
    for name, tensor in state.items():
        key, tensor = f"{group}{SEPARATOR}{name}" if group else name, tensor.detach().cpu()
        if not tensor.is_floating_point():
            arrays[key] = tensor
        elif precision == "int8" and tensor.ndim > 1:
            scale = tensor.float().abs().max().clamp_min(1e-12) / 127
            arrays[key], arrays[key + SCALE] = (tensor.float() / scale).round().to(torch.int8), scale
        else:
            arrays[key] = tensor.half() if precision == "float16" else tensor.float()
    return ArrayRecord({name: Array(tensor.numpy()) for name, tensor in arrays.items()})


def from_record(record: ArrayRecord) -> dict[str, Tensor]:
    """Returns arrays as tensors; those that were sent in fewer bits as float32.

    Raises:
        PayloadError: an array that is not made of numbers, or whose bytes are not those of such an array.
    """
    found = {name: _tensor(name, array) for name, array in record.items()}
    state: dict[str, Tensor] = {}
    for name, tensor in found.items():
        if name.endswith(SCALE):
            continue
        scale = found.get(name + SCALE)
        state[name] = tensor.float() * scale if scale is not None else tensor.float() if tensor.is_floating_point() else tensor
    return state


def of_group(state: Mapping[str, Tensor], group: str) -> dict[str, Tensor]:
    """Returns the tensors of one group by their own names."""
    prefix = f"{group}{SEPARATOR}"
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}


def payload_bytes(content: RecordDict) -> int:
    """The bytes of all arrays, numbers and texts of a message, without headers of the transport."""
    arrays = sum(len(array.data) for record in content.array_records.values() for array in record.values())
    others = [*content.metric_records.values(), *content.config_records.values()]
    return arrays + sum(_size(value) for record in others for value in record.values())


def require_size(content: RecordDict, limit: int) -> None:
    """Raises `PayloadError` for a message of more bytes than the limit, before any array is read."""
    if (size := payload_bytes(content)) > limit:
        raise PayloadError(f"the message has {size:,} bytes; federated.message_limit allows {limit:,}")


def _tensor(name: str, array: Array) -> Tensor:
    if array.stype != STYPE or array.dtype not in DTYPES:
        raise PayloadError(f"array {name!r} is {array.stype} of {array.dtype}; expected {STYPE} of numbers")
    try:
        values = array.numpy()  # with allow_pickle=False
    except (ValueError, OSError, EOFError) as error:
        raise PayloadError(f"array {name!r} cannot be read: {error}") from error
    if str(values.dtype) != array.dtype or tuple(values.shape) != tuple(array.shape):
        raise PayloadError(f"array {name!r} is {values.dtype} {values.shape}; its header says {array.dtype} {array.shape}")
    return torch.from_numpy(np.array(values))


def _size(value: object) -> int:
    if isinstance(value, list):
        return sum(map(_size, value))
    return len(value) if isinstance(value, bytes | str) else 8
