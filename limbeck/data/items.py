"""`Items`: a data set in memory, with a content key for every item."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from limbeck.core.batch import Target, select_rows
from limbeck.core.labels import UNLABELLED
from limbeck.data.class_names import describe_classes, match_classes
from limbeck.data.content_keys import content_keys, fingerprint
from limbeck.data.image.load import MEMORY_LIMIT
from limbeck.data.sampling import balanced_subset, two_parts
from limbeck.data.storage import Inputs, Storage, as_storage, check_finite, looks_like_images
from limbeck.data.targets import (
    GivenTargets,
    as_target,
    check_targets,
    is_labelled,
    remove_labels,
    renumber_classes,
    stratification_labels,
)
from limbeck.data.torch_dataset import read_torch_dataset

if TYPE_CHECKING:
    from torch.utils.data import Dataset as TorchDataset


class Items:
    """Inputs, keys and targets by row; immutable.

    Attributes:
        storage: the inputs.
        keys: content hash of each item (of the bytes of an encoded image, a tensor or a text), int64 `[N]`.
        target: the labels: classes, int64 `[N]`, -100 if unlabelled; numbers to predict, float32 `[N]`, NaN if unlabelled; or
            k positions, int64 `[N, k]`, -100 in all columns if unlabelled; or a mapping of tensors `[N, …]`, for targets of
            several parts. None if the data has no labels.
        classes: number of classes; None if the labels are not classes.
        class_names: names of the classes, if known.
        images: whether the inputs are images `[C, H, W]` of uint8, or of float in [0, 1], that views may augment.
    """

    def __init__(
        self,
        storage: Storage,
        keys: Tensor,
        target: Target | None = None,
        classes: int | None = None,
        class_names: list[str] | None = None,
        images: bool = False,
    ) -> None:
        if class_names is not None and classes is None:
            classes = len(class_names)
        _check_rows(len(storage), keys, target)
        if target is not None:
            classes = check_targets(target, classes)
        self.storage, self.keys = storage, keys
        self.target: Any = target  # a task knows which of the kinds it reads
        self.classes, self.class_names, self.images = classes, class_names, images

    @classmethod
    def from_tensors(
        cls,
        inputs: Inputs,
        targets: GivenTargets | None = None,
        *,
        classes: int | None = None,
        class_names: list[str] | None = None,
        images: bool | None = None,
    ) -> Items:
        """Items from data in memory.

        Args:
            inputs: a tensor, a mapping of tensors, or a list of texts or of pairs of texts.
            targets: class indices (-100: unlabelled), floats to predict (NaN: unlabelled), integer positions `[N, k]`, 0
                and 1 for each class `[N, classes]`, or a mapping of tensors `[N, …]`, such as `{"boxes": …, "labels": …}`. A
                list of such mappings, one for each item with as many objects as it has, is padded.
            classes: number of classes. Default: the largest class index plus one.
            class_names: names of the classes, in order of their indices.
            images: whether the inputs are images. Default: tensors of four dimensions that are uint8 or have all their values
                in [0, 1].
        """
        storage = as_storage(inputs)
        check_finite(storage)
        target = None if targets is None else as_target(targets, classes)
        if images is None:
            images = isinstance(inputs, Tensor) and looks_like_images(inputs)
        return cls(storage, content_keys(storage), target, classes, class_names, images)

    @classmethod
    def from_torch_dataset(
        cls, dataset: TorchDataset[Any], *, classes: int | None = None, memory_limit: int = MEMORY_LIMIT
    ) -> Items:
        """Items from a map-style data set of (input, label): tensors, arrays or Pillow images of one shape. Each is read now,
        and again when a batch needs it if all are larger than `memory_limit` bytes. For random transforms use views instead."""
        found = read_torch_dataset(dataset, memory_limit)
        return cls(found.storage, found.keys, as_target(found.labels, classes), classes, images=found.images)

    @property
    def modality(self) -> str | None:  # image, audio, text or table; None for other tensors
        return "image" if self.images else self.storage.modality

    @property
    def has_classes(self) -> bool:
        return self.target is not None and self.classes is not None

    def __len__(self) -> int:
        return len(self.storage)

    def __repr__(self) -> str:
        labels = "" if self.target is None else f", {int(self._is_labelled.sum())} labelled"
        classes = "" if self.target is None or self.classes is None else f", classes={self.classes}"
        names = "" if not classes or self.class_names is None else f" ({describe_classes(self.class_names)})"
        return f"Items({len(self)}{labels}{classes}{names})"

    def fetch(self, rows: Tensor) -> Any:
        """Inputs at these rows as one batch: a tensor, a mapping of tensors, or a list of texts or of pairs of texts."""
        return self.storage.fetch(rows)

    def originals(self, rows: Tensor) -> Any:
        """What views read that crop images before they are resized; see `Storage.originals`."""
        return self.storage.originals(rows)

    def select(self, rows: Tensor) -> Items:
        """Only these rows (indices or a boolean mask), in this order."""
        if rows.dtype == torch.bool:
            rows = rows.nonzero()[:, 0]
        target = select_rows(self.target, rows)
        return self._replace(self.storage.select(rows), self.keys[rows], target)

    def map_inputs(self, function: Callable[[Any], Inputs], batch_size: int = 1024) -> Items:
        """Apply a function to the inputs, for instance to embed texts. Keys and labels stay the same.

        Args:
            function: called with batches as `fetch` returns them. Its results are concatenated, so they must agree in shape.
            batch_size: items in a batch.
        """
        batches = [function(self.fetch(rows)) for rows in torch.split(torch.arange(len(self)), batch_size)]
        return self.with_storage(as_storage(_concatenate(batches)))

    def with_storage(self, storage: Storage) -> Items:
        """The same items with inputs that are not images in another storage. Keys and labels stay the same."""
        return self._replace(storage, self.keys, self.target, images=False)

    def for_actor(self, actor: str) -> Items:
        """The same items as this actor reads them; see `Storage.input_for`."""
        name = self.storage.input_for(actor)
        if name is None:
            return self
        selected = self.storage.select_input(name)
        if not isinstance(selected, Items):
            return self.with_storage(selected)
        if not self.storage.shares_labels:
            return selected
        return Items(selected.storage, selected.keys, self.target, self.classes, self.class_names, selected.images)

    def labelled(self) -> Items:
        """Only the items that have a label."""
        return self.select(self._is_labelled)

    def without_labels(self, rows: Tensor) -> Items:
        """The same items, with the labels of these rows (indices or a boolean mask) removed."""
        return self._replace(self.storage, self.keys, remove_labels(self._require_labels(), rows))

    def keep_labels(self, count: int, seed: int = 0) -> Items:
        """The same items, of which only `count` keep their label, as evenly over the classes as possible.

        Items are chosen by key, so the choice does not depend on the order of the data.
        """
        self._require_labels()
        labelled = self._is_labelled.nonzero()[:, 0]
        if not 0 < count <= len(labelled):
            raise ValueError(f"count={count}: expected 1 to {len(labelled)}, the number of labelled items")
        unlabelled = torch.ones(len(self), dtype=torch.bool)
        unlabelled[balanced_subset(self.keys, self._strata, labelled, count, seed)] = False
        return self.without_labels(unlabelled)

    def split(self, fraction: float, seed: int = 0) -> tuple[Items, Items]:
        """Two parts, `fraction` of every class in the first.

        Unlabelled items count as one class, and so do all labels that are not classes. Items are assigned by content:
        the split does not depend on the order of the data, and identical items of a class stay together. Both parts keep the
        order of the data.

        Raises:
            ValueError: a fraction that leaves one of the parts without items.
        """
        first = two_parts(self.keys, self._strata, fraction, seed)
        return self.select(first), self.select(~first)

    def align_classes(self, names: Sequence[str] | None, data: str = "data", *, strict: bool = False) -> Items:
        """The same items with classes numbered as in `names`, for instance those of the training data; see `match_classes`.

        Args:
            names: names of the classes, in order of their indices; None: they have none.
            data: what the message calls these items.
            strict: classes without names are numbers, on either side; else nothing is known of them, and nothing changes.

        Raises:
            ValueError: a class that is not among `names`; names on one side and numbers on the other that cannot be matched.
        """
        found = match_classes(self.class_names, _used_classes(self), names, data, strict=strict)
        if found is None:
            return self
        positions, classes, aligned = found
        target = None if self.target is None else renumber_classes(self.target, positions, classes)
        return Items(self.storage, self.keys, target, classes, aligned, self.images)

    def fingerprint(self) -> str:
        """A hash of these items with these targets in this order."""
        return fingerprint({"keys": self.keys, "target": self.target})

    @cached_property
    def _is_labelled(self) -> Tensor:
        return torch.zeros(len(self), dtype=torch.bool) if self.target is None else is_labelled(self.target)

    @property
    def _strata(self) -> Tensor:
        return torch.full_like(self.keys, UNLABELLED) if self.target is None else stratification_labels(self.target)

    def _require_labels(self) -> Any:
        if self.target is None:
            raise ValueError("these items have no labels; name the label column (label=...) when loading them")
        return self.target

    def _replace(self, storage: Storage, keys: Tensor, target: Target | None, images: bool | None = None) -> Items:
        return Items(storage, keys, target, self.classes, self.class_names, self.images if images is None else images)


def _check_rows(count: int, keys: Tensor, target: Target | None) -> None:
    """Refuses keys, labels or parts of labels of another number of rows; parts may have any number of axes."""
    parts = target if isinstance(target, Mapping) else {}
    single = [] if target is None or isinstance(target, Mapping) else [("target", target, 2)]
    for name, column, axes in [("keys", keys, 1), *single, *((name, part, part.ndim) for name, part in parts.items())]:
        if column.ndim > axes or column.shape[:1] != (count,):
            raise ValueError(f"{name}: expected one for each of {count} items, found {list(column.shape)}")


def _used_classes(items: Items) -> list[int] | None:
    """The class indices that occur, of several labels of an item all; None for labels of other kinds, or without any."""
    target = items.target
    if not items.has_classes or isinstance(target, Mapping):
        return None
    return list(range(items.classes or 0)) if target.ndim > 1 else [at for at in target.unique().tolist() if at >= 0]


def _concatenate(batches: list[Any]) -> Inputs:
    if isinstance(batches[0], Tensor):
        return torch.cat(batches)
    if hasattr(batches[0], "items"):
        return {name: torch.cat([torch.as_tensor(batch[name]) for batch in batches]) for name in batches[0]}
    return [text for batch in batches for text in batch]
