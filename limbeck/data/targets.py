"""The kinds of labels an item may have.

- Classes: int64 `[N]`, 0 or more; -100 for an item without a label.
- Numbers to predict (regression): float32 `[N]`; NaN for an item without a label.
- Positions, such as those of answer spans: int64 `[N, k]`, 0 or more; -100 in all k columns for an item without a label.
- Several labels, any number of which may apply: int64 `[N, C]` with C `classes`; 1 applies, 0 does not, -100 unknown.
- Several parts by name, such as boxes and their classes: a mapping of tensors `[N, …]` of any shape.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from limbeck.core.batch import Target
from limbeck.core.labels import UNLABELLED, label_mask
from limbeck.data.image.spatial import pad_objects

MANY_CLASSES = 100_000  # from here on labels may be ids
SPARSE = 10  # so many times more than there are different ones

GivenTargets: TypeAlias = Tensor | Mapping[str, Tensor] | Sequence[Mapping[str, Tensor]] | Sequence[int] | Sequence[float]


def as_target(targets: GivenTargets, classes: int | None = None) -> Target:
    """Labels as a tensor of one of the kinds above, which follows from data type and shape; a mapping as it is, and a mapping
    for each item, with as many objects as it has, as one that is padded (`pad_objects`).

    Raises:
        ValueError: another data type or shape; `classes` given for labels that are not class indices.
    """
    if isinstance(targets, Mapping):
        return {name: torch.as_tensor(part) for name, part in targets.items()}
    if isinstance(targets, Sequence) and len(targets) and isinstance(targets[0], Mapping):
        return pad_objects(targets)  # type: ignore[arg-type]
    if isinstance(targets, Sequence) and len(targets) and isinstance(targets[0], str):
        raise ValueError(
            f"targets: they are texts, such as {targets[0]!r}; give the numbers of the classes, and names as class_names=[…]"
        )
    target = torch.as_tensor(targets)
    found = f"found {target.dtype} of shape {list(target.shape)}"
    several = target.ndim == 2 and target.shape[1] == classes
    if classes is not None and (target.is_floating_point() or (target.ndim != 1 and not several)):
        raise ValueError(f"targets: classes={classes} needs one class index per item, {found}; leave `classes` out")
    numbers = target.is_floating_point() and target.ndim == 1
    whole = not (target.is_floating_point() or target.is_complex()) and target.ndim in (1, 2)
    if not numbers and not whole:
        expected = "class indices [N], numbers to predict [N] (float), or positions [N, k] (integers)"
        remedy = ""
        if target.ndim == 2:
            wide = (
                f"of one-hot rows labels.argmax(1), of several labels of an item labels.long() with classes={target.shape[1]}"
            )
            remedy = f"; give {'labels.flatten()' if target.shape[1] == 1 else wide}"
        raise ValueError(f"targets: expected {expected}, {found}{remedy}")
    if numbers:
        return torch.where(target.isnan(), torch.nan, target).to(torch.float32)  # one NaN, so that fingerprints agree
    return target.to(torch.int64)


def check_targets(target: Target, classes: int | None) -> int | None:
    """Check the values of labels and return the number of classes.

    Returns:
        `classes` if given, else the largest class index plus one; None if the labels are not classes.

    Raises:
        ValueError: a label that is out of range or not finite, with its row.
    """
    if isinstance(target, Mapping):
        for name, part in target.items():
            if part.is_floating_point():
                _refuse(part, ~part.isfinite().flatten(1).all(1) if part.ndim > 1 else part.isinf(), "finite numbers", name)
        return classes
    if target.is_floating_point():
        _refuse(target, target.isinf(), "a finite number, or NaN for no label")
        return None
    if target.ndim == 2 and classes is not None:
        wrong = ((target != 0) & (target != 1) & (target != UNLABELLED)).any(1)
        _refuse(target, wrong, f"0, 1, or {UNLABELLED} for an unknown label, of each class")
        if target.shape[1] != classes:
            raise ValueError(f"target: {target.shape[1]} labels for each item, and classes={classes}")
        return classes
    if target.ndim == 2:
        negative = (target < 0).any(1) & (target != UNLABELLED).any(1)
        _refuse(target, negative, f"positions of 0 or more, or {UNLABELLED} in every column for no label")
        return None
    wrong = (target < 0) & (target != UNLABELLED)
    if classes is not None:
        wrong |= target >= classes
    expected = "0 or more" if classes is None else f"0 to {classes - 1} (classes={classes})"
    _refuse(target, wrong, f"{expected}, or {UNLABELLED} for no label")
    if classes is None and (target >= 0).any():
        _refuse_sparse_ids(target)
        return int(target.max()) + 1
    return classes


def _refuse_sparse_ids(target: Tensor) -> None:
    """Refuses numbers that are ids rather than class indices: a head for all of them would not fit into memory."""
    highest = int(target.max())
    if highest < MANY_CLASSES:
        return
    different = sum(number >= 0 for number in set(target.tolist()))
    if highest >= SPARSE * different:
        row = int(target.argmax())
        raise ValueError(
            f"target: row {row} holds {highest}, and there are {different} different labels: these are ids, not class indices "
            f"from 0 to {different - 1}. Write them as names (texts), which are numbered by themselves"
        )


def is_labelled(target: Target) -> Tensor:
    """Which items have a label, bool `[N]`."""
    return label_mask(target, per_item=True).bool()


def stratification_labels(target: Target) -> Tensor:
    """Groups to stratify by, int64 `[N]`: classes; labels of another kind form one group, unlabelled items another (-100)."""
    if isinstance(target, Tensor) and not target.is_floating_point() and target.ndim == 1:
        return target
    return torch.where(is_labelled(target), 0, UNLABELLED)


def remove_labels(target: Target, rows: Tensor) -> Target:
    """A copy in which these rows have no label. A mapping gets the part "labelled", false there."""
    if isinstance(target, Mapping):
        labelled = is_labelled(target)
        labelled[rows] = False
        return {**target, "labelled": labelled}
    target = target.clone()
    target[rows] = torch.nan if target.is_floating_point() else UNLABELLED
    return target


def renumber_classes(target: Target, positions: Sequence[int], classes: int) -> Target:
    """Class indices after another numbering: class i becomes `positions[i]`.

    Of a mapping, those are the integers of its part "labels".

    Args:
        classes: their number afterwards.
    """
    if isinstance(target, Mapping):
        labels = {name: _renumber_each(part, positions) for name, part in target.items() if name == "labels"}
        return {**target, **labels}
    if target.ndim == 2:  # labels of all classes; those that this side lacks do not apply to a labelled item
        labelled = is_labelled(target)[:, None]
        renumbered = torch.where(labelled, 0, UNLABELLED).repeat(1, classes)
        renumbered[:, torch.tensor(list(positions), dtype=torch.int64)] = target
        return renumbered
    return _renumber_each(target, positions)


def _renumber_each(labels: Tensor, positions: Sequence[int]) -> Tensor:
    """Class i, anywhere in a tensor of any shape, becomes `positions[i]`; negative numbers stay."""
    index = torch.tensor(list(positions), dtype=torch.int64)
    return torch.where(labels >= 0, index[labels.clamp(min=0)], labels)


def _refuse(target: Tensor, wrong: Tensor, expected: str, name: str = "target") -> None:
    if wrong.any():
        row = int(wrong.nonzero()[0, 0])
        raise ValueError(f"{name}: row {row} holds {target[row].tolist()}; expected {expected}")
