"""Batches: inputs and positions that count by view, targets, and what identifies each item."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

DEFAULT_VIEW = "default"

Target = Tensor | Mapping[str, Tensor]
"""What is to be predicted for each item: one tensor, or several by name. The first axis counts items."""


_SHORT_INTEGERS = (torch.int32, torch.int16, torch.int8, torch.uint8)  # labels as data loaders give them; no index is of these


@dataclass(frozen=True)
class Batch:
    """Inputs by view, with targets and keys of the items.

    Attributes:
        inputs: view name to the inputs of a model: a tensor `[batch, ...]`, or a mapping of tensors (modalities, or the keyword
            arguments of a Transformers model).
        target: class indices `[batch]`, positions `[batch, k]` or classes of tokens `[batch, tokens]` (-100: no label);
            class probabilities `[batch, classes]` (a row of zeros: no label); regression targets `[batch]`, float (NaN: no
            label); or a mapping of such tensors, for targets of several parts (`{"boxes": …, "labels": …}`). One tensor of
            shorter integers is made int64.
        keys: int64 content hash of each item `[batch]`; random numbers and cached outputs are keyed by it.
        index: row of each item in its data set `[batch]`.
        mask: short form of `counted["default"]`, or None.
        weight: weight of each item `[batch]`, or None.
        view: number of the view of each item `[batch]`, or None if views never repeat.
        extras: further tensors by name, moved along with the batch.
        counted: view name to the positions that count `[batch, tokens]`, bool or 0 and 1: real tokens, or only those of an
            answer. A view that is not named has the positions of the default view, if these are given; else all count. Signals
            of two views are compared position by position in the order of those that count, so the views may differ in length.

    Raises:
        ValueError: `mask` beside another `counted["default"]`; positions of a view that the inputs lack.
    """

    inputs: Mapping[str, Any]
    target: Target | None = None
    keys: Tensor | None = None
    index: Tensor | None = None
    mask: Tensor | None = None
    weight: Tensor | None = None
    view: Tensor | None = None
    extras: Mapping[str, Any] = field(default_factory=dict)
    counted: Mapping[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        target = self.target
        if isinstance(target, Tensor) and target.dtype in _SHORT_INTEGERS:
            object.__setattr__(self, "target", target.long())
        default = self.counted.get(DEFAULT_VIEW)
        if self.mask is not None and default is not None and self.mask is not default:
            raise ValueError(
                "Batch: mask and counted['default'] are both given; mask is the short form of it, so leave one of them out"
            )
        if self.mask is not None and default is None:
            object.__setattr__(self, "counted", {DEFAULT_VIEW: self.mask, **self.counted})
        object.__setattr__(self, "mask", self.counted.get(DEFAULT_VIEW))
        for view in self.counted:
            if view not in self.inputs and view != DEFAULT_VIEW:
                raise ValueError(f"Batch: counted has view {view!r}, and the views of the inputs are {', '.join(self.inputs)}")

    def counted_in(self, view: str) -> Tensor | None:
        """The positions of this view that count `[batch, tokens]`; None: all."""
        return self.counted.get(view, self.mask)

    @property
    def size(self) -> int:
        return first_tensor(self.inputs).shape[0]

    @property
    def device(self) -> torch.device:
        return first_tensor(self.inputs).device

    def to(self, device: torch.device | str) -> Batch:
        """The batch on a device; itself if all of it is there."""
        target = torch.device(device)
        for tensor in tensors_in(vars(self)):
            if tensor.device != target:
                return self._each(lambda tensor: tensor.to(target, non_blocking=True))
        return self

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """The same batch with `change` applied to every tensor."""
        names = ("inputs", "target", "keys", "index", "weight", "view", "extras", "counted")
        return replace(self, mask=None, **{name: map_tensors(getattr(self, name), change) for name in names})


def first_items(batch: Batch, count: int) -> Batch:
    """The first `count` items of a batch."""
    return batch._each(lambda tensor: tensor[:count])


def select_rows(value: Any, rows: Tensor) -> Any:
    """These rows of every tensor in nested mappings."""
    return map_tensors(value, lambda tensor: tensor[rows.to(tensor.device)])


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


def tensors_in(value: Any) -> list[Tensor]:
    """All tensors in nested mappings."""
    if isinstance(value, Tensor):
        return [value]
    found: list[Tensor] = []
    for part in value.values() if type(value) is dict or isinstance(value, Mapping) else ():  # a dict is told faster
        if isinstance(part, Tensor):
            found.append(part)
        elif part is not None:
            found += tensors_in(part)
    return found


def map_tensors(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """`change` applied to every tensor in nested mappings; everything else unchanged."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, Mapping):
        return {name: map_tensors(part, change) for name, part in value.items()}
    return value


def copy_tensors(value: Any) -> Any:
    """Copies of all tensors in nested mappings, for a model that might change its inputs in place."""
    return map_tensors(value, Tensor.clone)
