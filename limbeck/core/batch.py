"""Batches: inputs by view, targets, and what identifies each item."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

DEFAULT_VIEW = "default"


@dataclass(frozen=True)
class Batch:
    """Inputs by view, with targets and keys of the items.

    Attributes:
        inputs: view name to the inputs of a model: a tensor `[batch, ...]`, or a mapping of tensors (modalities, or the keyword
            arguments of a Transformers model).
        target: class indices `[batch]`, positions `[batch, k]` or classes of tokens `[batch, tokens]` (-100: no label);
            class probabilities `[batch, classes]` (a row of zeros: no label); regression targets `[batch]`, float (NaN: no
            label).
        keys: int64 content hash of each item `[batch]`; random numbers and cached outputs are keyed by it.
        index: row of each item in its data set `[batch]`.
        mask: real tokens `[batch, tokens]`, or None.
        weight: weight of each item `[batch]`, or None.
        view: number of the view of each item `[batch]`, or None if views never repeat.
        extras: further tensors by name, moved along with the batch.
    """

    inputs: Mapping[str, Any]
    target: Tensor | None = None
    keys: Tensor | None = None
    index: Tensor | None = None
    mask: Tensor | None = None
    weight: Tensor | None = None
    view: Tensor | None = None
    extras: Mapping[str, Any] = field(default_factory=dict)

    @property
    def size(self) -> int:
        return first_tensor(self.inputs).shape[0]

    @property
    def device(self) -> torch.device:
        return first_tensor(self.inputs).device

    def to(self, device: torch.device | str) -> Batch:
        names = ("inputs", "target", "keys", "index", "mask", "weight", "view", "extras")
        return replace(self, **{name: _move(getattr(self, name), device) for name in names})


def first_items(batch: Batch, count: int) -> Batch:
    """The first `count` items of a batch."""
    names = ("inputs", "target", "keys", "index", "mask", "weight", "view", "extras")
    return replace(batch, **{name: _map_tensors(getattr(batch, name), lambda tensor: tensor[:count]) for name in names})


def select_rows(value: Any, rows: Tensor) -> Any:
    """These rows of every tensor in nested mappings."""
    return _map_tensors(value, lambda tensor: tensor[rows.to(tensor.device)])


_LABEL_NAMES = ("labels", "label", "target", "targets")


def as_batch(data: Any) -> Batch:
    """Converts the output of a data loader: a `Batch`, a pair (inputs, labels), a mapping that may hold labels, or inputs.

    An `attention_mask` among the inputs becomes the mask of real tokens.
    """
    if isinstance(data, Batch):
        return data
    if isinstance(data, tuple | list):
        if not data or len(data) > 2:
            raise ValueError(f"a batch is (inputs, labels); got {len(data)} parts")
        inputs, target = data[0], data[1] if len(data) == 2 else None
    elif isinstance(data, Mapping):
        name = next((name for name in _LABEL_NAMES if name in data), None)
        target = None if name is None else data[name]
        inputs = {key: value for key, value in data.items() if key != name}
        if len(inputs) == 1 and not {"input_ids", "inputs_embeds", "pixel_values"} & set(inputs):
            (inputs,) = inputs.values()
    else:
        inputs, target = data, None
    return Batch({DEFAULT_VIEW: inputs}, target=target, mask=token_mask(inputs))


def token_mask(inputs: Any) -> Tensor | None:
    """The attention mask in the inputs; if each actor has its own tokens, the student's, or else the first one's."""
    if not isinstance(inputs, Mapping):
        return None
    if "attention_mask" in inputs:
        mask: Tensor = inputs["attention_mask"]
        return mask
    return token_mask(inputs.get("student", next(iter(inputs.values()))))


def first_tensor(value: Any) -> Tensor:
    """The first tensor in nested mappings; it has the size and the device of the batch."""
    while not isinstance(value, Tensor):
        value = next(iter(value.values()))
    return value


def _move(value: Any, device: torch.device | str) -> Any:
    return _map_tensors(value, lambda tensor: tensor.to(device, non_blocking=True))


def _map_tensors(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, Mapping):
        return {name: _map_tensors(part, change) for name, part in value.items()}
    return value
