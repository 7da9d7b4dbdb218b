"""Checks of training and test data against each other: values of another range, images of another size."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from limbeck.data import Items, evaluation_batches
from limbeck.data.image.storage import ImageStorage
from limbeck.data.storage import TensorStorage

SAMPLE = 256  # items whose values are looked at
UNIT, FAR = 1.0, 10.0  # values in [0, 1], and some far beyond


def check_range(train: Items | None, other: Items | None, data: str) -> None:
    """Refuses numbers from 0 to 255 where the training data has numbers from 0 to 1, and the reverse.

    Warns of images of another size, which a convolutional network reads without a word.

    Raises:
        ValueError: with both ranges.
    """
    _warn_of_size(train, other, data)
    ours, theirs = _range(train), _range(other)
    if ours is None or theirs is None:
        return
    for one, two in ((ours, theirs), (theirs, ours)):
        if one[0] >= 0 and one[1] <= UNIT and two[0] >= 0 and two[1] > FAR and two[2] > UNIT:
            raise ValueError(
                f"{data}: its values go from {theirs[0]:g} to {theirs[1]:g}, and those of the training data from {ours[0]:g} "
                f"to {ours[1]:g}; bring both to one range, such as images / 255"
            )


def warn_of_missing_classes(train: Items) -> None:
    """Warns of training labels that are all of one class, and of numbers that seem to begin at 1.

    Named classes without items are told with the data.
    """
    labels = train.labelled().target
    if train.classes is None or not isinstance(labels, Tensor) or labels.ndim != 1 or not len(labels):
        return
    found = sorted(set(labels.tolist()))
    if len(found) == 1:
        name = f" ({train.class_names[found[0]]!r})" if train.class_names else ""
        warnings.warn(
            f"training data: all {len(labels):,} labels are of class {found[0]}{name}, so that there is nothing to tell apart; "
            "give data of other classes too",
            stacklevel=3,
        )
    elif not train.class_names and found == list(range(1, train.classes)):
        warnings.warn(
            f"training data: labels go from 1 to {found[-1]}, and classes are numbered from 0, so that class 0 has no item and "
            f"models have {train.classes} outputs; subtract 1, or write labels as names (texts)",
            stacklevel=3,
        )


def _warn_of_size(train: Items | None, other: Items | None, data: str) -> None:
    if train is None or other is None or not (train.images and other.images and len(train) and len(other)):
        return
    ours, theirs = (each.fetch(torch.arange(1)).shape[-2:] for each in (train, other))
    if ours != theirs:
        warnings.warn(
            f"{data}: its images are {theirs[0]}×{theirs[1]}, and those of the training data {ours[0]}×{ours[1]}; give both "
            "the same size (size: of each data set)",
            stacklevel=3,
        )


def _range(items: Items | None) -> tuple[float, float, float] | None:
    """Least, largest and mean value of some items as models read them; None for other inputs than one tensor of numbers."""
    if items is None or not isinstance(items.storage, TensorStorage | ImageStorage) or not len(items):
        return None
    some = items.select(torch.linspace(0, len(items) - 1, min(SAMPLE, len(items))).long())
    inputs = next(evaluation_batches(some, SAMPLE)).inputs["default"]
    if not isinstance(inputs, Tensor) or not inputs.numel():
        return None
    return float(inputs.min()), float(inputs.max()), float(inputs.float().mean())
