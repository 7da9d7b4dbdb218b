"""`Items`: an indexed data set whose every item is known by what it contains."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from limbeck.core.objective import UNLABELLED
from limbeck.data import keyed_random
from limbeck.data.content_keys import content_keys, fingerprint
from limbeck.data.storage import Inputs, Storage, as_storage
from limbeck.data.targets import as_target, check_targets, known, remove_labels, stratification_labels

if TYPE_CHECKING:
    from torch.utils.data import Dataset as TorchDataset


class Items:
    """Inputs, keys and targets by row; nothing changes in place.

    Attributes:
        keys: int64 `[N]`, a hash of each item's content (decoded pixels, a tensor's or a text's bytes).
        target: int64 `[N]`, a class each, -100 where unlabelled; or float32 `[N]`, a number to be predicted each, NaN where
            unlabelled; or int64 `[N, k]`, k positions each, -100 in all columns where unlabelled. None where the data has no
            labels at all.
        classes: how many classes there are, None where labels are no classes; class_names: what they are called, if that is
            known.
        images: whether the inputs are images `[C, H, W]` of uint8, or of float in [0, 1], which views may augment.
    """

    def __init__(
        self,
        storage: Storage,
        keys: Tensor,
        target: Tensor | None = None,
        classes: int | None = None,
        class_names: list[str] | None = None,
        images: bool = False,
    ) -> None:
        if class_names is not None and classes is None:
            classes = len(class_names)
        for name, column, axes in (("keys", keys, 1), ("target", target, 2)):
            if column is not None and (column.ndim > axes or column.shape[:1] != (len(storage),)):
                raise ValueError(f"{name}: expected one for each of {len(storage)} items, found {list(column.shape)}")
        if target is not None:
            classes = check_targets(target, classes)
        self.storage, self.keys, self.target = storage, keys, target
        self.classes, self.class_names, self.images = classes, class_names, images

    @classmethod
    def from_tensors(
        cls,
        inputs: Inputs,
        targets: Tensor | Sequence[int] | Sequence[float] | None = None,
        *,
        classes: int | None = None,
        class_names: list[str] | None = None,
        images: bool | None = None,
    ) -> Items:
        """From data in memory: a tensor, a mapping of tensors, or a list of texts or of pairs of texts, and its labels.

        `targets` are class indices (-100: unlabelled), or numbers to be predicted where they are floats (NaN: unlabelled), or
        positions where they are integers `[N, k]`.

        `images` is found out if not given: four dimensions, and uint8 or all values in [0, 1].
        """
        storage = as_storage(inputs)
        target = None if targets is None else as_target(targets, classes)
        if images is None:
            images = isinstance(inputs, Tensor) and _looks_like_images(inputs)
        return cls(storage, content_keys(storage), target, classes, class_names, images)

    @classmethod
    def from_torch_dataset(cls, dataset: TorchDataset[Any], *, classes: int | None = None) -> Items:
        """From any map-style torch data set of (input, label): tensors, arrays or Pillow images, all of one shape.

        Every item is read once, now; random transforms inside the data set are frozen by that, so leave them to views.
        """
        inputs, labels = [], []
        for row in range(len(dataset)):  # type: ignore[arg-type]
            item = dataset[row]
            if not isinstance(item, tuple | list) or len(item) != 2:
                raise ValueError(f"row {row}: expected a pair (input, label), found {type(item).__name__}")
            inputs.append(_as_tensor(item[0]))
            labels.append(int(item[1]))
            if inputs[-1].shape != inputs[0].shape:
                raise ValueError(
                    f"row {row}: shape {list(inputs[-1].shape)} differs from {list(inputs[0].shape)} in row 0; "
                    "let the data set resize its items to one shape"
                )
        if not inputs:
            raise ValueError("the data set is empty")
        return cls.from_tensors(torch.stack(inputs), labels, classes=classes)

    def __len__(self) -> int:
        return len(self.storage)

    def __repr__(self) -> str:
        labels = "" if self.target is None else f", {int(self._is_labelled.sum())} labelled"
        classes = "" if self.target is None or self.classes is None else f", classes={self.classes}"
        names = "" if not classes or self.class_names is None else f" ({_describe_classes(self.class_names)})"
        return f"Items({len(self)}{labels}{classes}{names})"

    def fetch(self, rows: Tensor, workers: int = 0) -> Any:
        """Inputs at these rows as one batch: a tensor, a mapping of tensors, or a list of texts or of pairs of texts."""
        return self.storage.fetch(rows, workers)

    def select(self, rows: Tensor) -> Items:
        """Only these rows, in this order (indices, or a boolean mask)."""
        if rows.dtype == torch.bool:
            rows = rows.nonzero()[:, 0]
        target = None if self.target is None else self.target[rows]
        return self._with(self.storage.select(rows), self.keys[rows], target)

    def map_inputs(self, function: Callable[[Any], Inputs], batch_size: int = 1024) -> Items:
        """The same items with other inputs, as when texts are turned into vectors. Keys stay those of the source.

        `function` is called with batches as `fetch` gives them; its answers are joined, so they must agree in shape.
        """
        batches = [function(self.fetch(rows)) for rows in torch.split(torch.arange(len(self)), batch_size)]
        return self.with_storage(as_storage(_join(batches)))

    def with_storage(self, storage: Storage) -> Items:
        """The same items, their inputs, which are no images, in another storage. Keys stay those of the source."""
        return self._with(storage, self.keys, self.target, images=False)

    def for_actor(self, actor: str) -> Items:
        """The same items as this actor reads them; see `input_for_actor`."""
        name = input_for_actor(actor, self.storage.input_names)
        return self if name is None else self._select_input(name)

    def _select_input(self, name: str) -> Items:
        part = self.storage.select_input(name)
        return part if isinstance(part, Items) else self.with_storage(part)

    def without_labels(self, rows: Tensor) -> Items:
        """The same items, these rows (indices or a boolean mask) without their labels."""
        return self._with(self.storage, self.keys, remove_labels(self._targets(), rows))

    def keep_labels(self, count: int, seed: int = 0) -> Items:
        """Only `count` labelled items keep their label, as evenly over the classes as can be; which ones goes by key."""
        target = stratification_labels(self._targets())
        labelled = self._is_labelled.nonzero()[:, 0]
        if not 0 < count <= len(labelled):
            raise ValueError(f"count={count}: expected 1 to {len(labelled)}, the number of labelled items")
        place = torch.empty(len(self), dtype=torch.int64)
        for rows in self._by_class(labelled, seed, "labels"):
            place[rows] = torch.arange(len(rows))
        # every class's first, then every class's second, …: a short class runs out and the others fill up
        classes_in_turn = keyed_random.hashes(seed, target[labelled], "classes")
        order = _sort_by(place[labelled], classes_in_turn)
        return self.without_labels(_all_but(labelled[order[:count]], len(self)))

    def labelled(self) -> Items:
        """The items that have a label."""
        return self.select(self._is_labelled)

    def split(self, fraction: float, seed: int = 0) -> tuple[Items, Items]:
        """Two parts, `fraction` of every class in the first; unlabelled items count as a class of their own, and so do labels
        that are no classes.

        Which part an item falls into goes by its content: it does not depend on the order of the data, and identical
        items of a class stay together. Both parts keep the order of the data.
        """
        if not 0 < fraction < 1:
            raise ValueError(f"fraction={fraction}: expected a number between 0 and 1")
        first = torch.zeros(len(self), dtype=torch.bool)
        ranks = keyed_random.hashes(seed, self.keys, "split")
        before = 0
        for rows in self._by_class(torch.arange(len(self)), seed, "split"):
            # shares are rounded on the running total, so that many small classes add up to the right fraction
            count = round((before + len(rows)) * fraction) - round(before * fraction)
            before += len(rows)
            if count:
                first[rows[ranks[rows] <= ranks[rows[count - 1]]]] = True
        return self.select(first), self.select(~first)

    def fingerprint(self) -> str:
        """A name for exactly these items with these targets in this order."""
        return fingerprint({"keys": self.keys, "target": self.target})

    @cached_property
    def _is_labelled(self) -> Tensor:
        return torch.zeros(len(self), dtype=torch.bool) if self.target is None else known(self.target)

    def _targets(self) -> Tensor:
        if self.target is None:
            raise ValueError("these items have no labels; name the label column (label=...) when loading them")
        return self.target

    def _by_class(self, rows: Tensor, seed: int, stream: str) -> list[Tensor]:
        """The rows of each class, sorted by their keys' random ranks."""
        target = torch.full_like(self.keys, UNLABELLED) if self.target is None else stratification_labels(self.target)
        order = rows[_sort_by(target[rows], keyed_random.hashes(seed, self.keys[rows], stream))]
        counts = torch.bincount(target[rows] - UNLABELLED)
        return list(torch.split(order, counts[counts > 0].tolist()))

    def align_classes(self, names: Sequence[str] | None, data: str = "data") -> Items:
        """The same items with classes numbered as in `names`, such as those of the training data: a file that lacks a class
        would number the rest otherwise. Unchanged where one of the two has no names.

        Raises:
            ValueError: a class that is not among `names`; `data` is what the message calls the items.
        """
        if names is None or self.class_names is None or list(names) == self.class_names:
            return self
        foreign = [name for name in self.class_names if name not in names]
        if foreign:
            raise ValueError(
                f"{data}: class {foreign[0]!r} is none of the {len(names)} of the training data ({_describe_classes(names)}); "
                "leave such items out, or train with some"
            )
        target = self.target
        if target is not None:
            places = torch.tensor([*map(list(names).index, self.class_names)])
            target = torch.where(target >= 0, places[target.clamp(min=0)], target)
        return Items(self.storage, self.keys, target, len(names), list(names), self.images)

    def _with(self, storage: Storage, keys: Tensor, target: Tensor | None, images: bool | None = None) -> Items:
        return Items(storage, keys, target, self.classes, self.class_names, self.images if images is None else images)


def _describe_classes(names: Sequence[str], most: int = 5) -> str:
    """The first classes with their numbers."""
    shown = ", ".join(f"{place}: {name}" for place, name in enumerate(names[:most]))
    return shown + (", …" if len(names) > most else "")


def input_for_actor(actor: str, names: Sequence[str]) -> str | None:
    """Which of several inputs an actor reads: its own, the student's where it is its average, and otherwise the teacher's,
    which assistants and further teachers share. None: there is one for all."""
    if not names or actor in names:
        return actor if names else None
    return "student" if actor == "average" and "student" in names else names[-1]


def _as_tensor(value: Any) -> Tensor:
    if isinstance(value, Tensor):
        return value
    if hasattr(value, "getbands"):  # a Pillow image
        from limbeck.data.image.decode import to_array

        return torch.from_numpy(to_array(value, None, None))
    return torch.as_tensor(value)


def _looks_like_images(inputs: Tensor) -> bool:
    if inputs.ndim != 4 or not len(inputs):
        return False
    return inputs.dtype == torch.uint8 or (inputs.is_floating_point() and bool(inputs.min() >= 0) and bool(inputs.max() <= 1))


def _join(batches: list[Any]) -> Inputs:
    if isinstance(batches[0], Tensor):
        return torch.cat(batches)
    if hasattr(batches[0], "items"):
        return {name: torch.cat([torch.as_tensor(batch[name]) for batch in batches]) for name in batches[0]}
    return [text for batch in batches for text in batch]


def _sort_by(first: Tensor, second: Tensor) -> Tensor:
    """The order that sorts by `first`, then by `second`, then by row."""
    order = torch.argsort(second, stable=True)
    return order[torch.argsort(first[order], stable=True)]


def _all_but(rows: Tensor, count: int) -> Tensor:
    mask = torch.ones(count, dtype=torch.bool)
    mask[rows] = False
    return mask
