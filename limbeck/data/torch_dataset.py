"""Reads map-style data sets of PyTorch."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from limbeck.data.content_keys import content_keys
from limbeck.data.image.decode import to_array
from limbeck.data.storage import EncodedStorage, Storage, TensorStorage, check_finite, looks_like_images
from limbeck.utils.argument_types import require_whole
from limbeck.utils.progress_bar import show_progress

if TYPE_CHECKING:
    from torch.utils.data import Dataset

RANDOM = "leave random transforms out of the data set, and give them as views of the training"


@dataclass(frozen=True)
class ReadDataset:
    """What a data set holds.

    Attributes:
        storage: the inputs; in memory if they fit.
        keys: content keys, int64 `[N]`.
        labels: by row.
        images: whether the inputs are images `[C, H, W]` of uint8, or of float in [0, 1].
    """

    storage: Storage
    keys: Tensor
    labels: list[int]
    images: bool


def read_torch_dataset(dataset: Dataset[Any], memory_limit: int) -> ReadDataset:
    """Reads every item of a data set of (input, label) once: for its key, its label and its shape.

    Inputs that together are larger than `memory_limit` bytes are not kept: the data set is asked for them again, and has to
    give the same ones.

    Args:
        dataset: map-style; its inputs are tensors, arrays or Pillow images of one shape.

    Raises:
        ValueError: a data set that is empty or not map-style; an item that is not a pair; a label that is no class index;
            inputs of different shapes, or not finite; inputs that do not stay in memory and are not the same when they are
            read again.
    """
    require_whole("memory_limit", memory_limit, 0)
    if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
        raise ValueError(
            f"{type(dataset).__name__} is no map-style data set, which has a length and items by number; hand over "
            "Items.from_tensors(inputs, labels), with all that it gives"
        )
    total = len(dataset)
    if not total:
        raise ValueError("the data set is empty")
    first, _ = _pair(dataset, 0)
    fits = first.numel() * first.element_size() * total <= memory_limit
    if not fits and not torch.equal(first, _pair(dataset, 0)[0]):
        raise ValueError(f"row 0 is another one when it is read again; {RANDOM}")
    kept, keys, labels = [], [], []
    images = True
    for row in show_progress(range(total), "reading the data set", total):
        value, label = _pair(dataset, row)
        if value.shape != first.shape:
            raise ValueError(
                f"row {row}: shape {list(value.shape)} differs from {list(first.shape)} in row 0; "
                "let the data set resize its items to one shape"
            )
        alone = TensorStorage(value[None])
        check_finite(alone, row)
        images = images and looks_like_images(value[None])
        keys.append(content_keys(alone))
        labels.append(label)
        if fits:
            kept.append(value)
    numbers = torch.cat(keys)
    storage = TensorStorage(torch.stack(kept)) if fits else EncodedStorage(range(total), _Reader(dataset, numbers))
    return ReadDataset(storage, numbers, labels, images)


@dataclass(frozen=True)
class _Reader:
    """Reads one input, and compares it with what it was when the data set was read first."""

    dataset: Dataset[Any]
    keys: Tensor

    def __call__(self, row: int) -> NDArray[Any]:
        value, _ = _pair(self.dataset, row)
        if content_keys(TensorStorage(value[None])) != self.keys[row]:
            raise ValueError(f"row {row} of the data set has changed since it was read; {RANDOM}")
        return value.numpy()


def _pair(dataset: Dataset[Any], row: int) -> tuple[Tensor, int]:
    item = dataset[row]
    if not isinstance(item, tuple | list) or len(item) != 2:
        raise ValueError(f"row {row}: expected a pair (input, label), found {type(item).__name__}")
    if isinstance(item[0], str):
        raise ValueError(f"row {row}: a text; hand over Items.from_tensors(texts, labels), with a list of all of them")
    return _as_tensor(item[0]), _as_class(item[1], row)


def _as_class(label: Any, row: int) -> int:
    with contextlib.suppress(TypeError, ValueError, OverflowError, RuntimeError):  # the last of a tensor of several numbers
        if (number := int(label)) == label:
            return number
    raise ValueError(
        f"row {row}: the label is {label!r}; expected the number of a class. For other labels hand over "
        "Items.from_tensors(inputs, labels), with those of all items"
    )


def _as_tensor(value: Any) -> Tensor:
    if isinstance(value, Tensor):
        return value.detach().cpu()
    if hasattr(value, "getbands"):  # a Pillow image
        return torch.from_numpy(to_array(value, None, None))
    return torch.as_tensor(value)
