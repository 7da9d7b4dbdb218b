"""Storage of inputs: tensors in memory, texts, or encoded items that are decoded when they are fetched."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Text = str | tuple[str, str]
"""A text, or a pair of texts (a question and a passage, two sentences)."""

COPIED_BELOW = 8  # a selection of fewer than this part of the rows is copied
Inputs = Tensor | Mapping[str, Tensor] | Sequence[str] | Sequence[tuple[str, str]]


class Storage(ABC):
    """Inputs by row; immutable.

    Attributes:
        lengths: length of each item, int64 `[N]`, if batches are padded to their longest item; None if all items are of one
            size.
    """

    lengths: Tensor | None = None
    modality: str | None = None  # the kind of the inputs, if it is known
    shares_labels = False  # whether `Items` of one input have the labels of all, not their own

    @property
    def in_memory(self) -> bool:
        """Whether items stay in memory once they are fetched; else they are decoded each time."""
        return True

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the inputs if actors read different ones, such as tokens of two vocabularies; empty if all read the same."""
        return ()

    @property
    def aligned(self) -> bool:
        """Whether the tokens of all inputs stand for the same characters, token by token."""
        return True

    def first_difference(self) -> str | None:
        """Describes the first token at which inputs are not aligned, for a message; None if they are."""
        return None

    def input_for(self, actor: str) -> str | None:
        """Which of several inputs an actor reads; see `input_for_actor`."""
        return input_for_actor(actor, self.input_names)

    def select_input(self, name: str) -> Any:
        """One of the inputs: a storage, or `Items` if its items differ from those of the others."""
        return self

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def fetch(self, rows: Tensor) -> Any:
        """The inputs at these rows as one batch."""

    def originals(self, rows: Tensor) -> Any:
        """What views read that crop encoded images before they are resized; else the same as `fetch`."""
        return self.fetch(rows)

    @abstractmethod
    def select(self, rows: Tensor) -> Storage:
        """Only these rows, in this order."""


class TensorStorage(Storage):
    """A tensor whose first dimension counts items, or a mapping of such tensors (modalities, the output of a tokenizer).

    A selection of many rows is a view; of few it is a copy, so that the others need not be kept.
    """

    def __init__(self, inputs: Tensor | Mapping[str, Tensor]) -> None:
        rows = {name: len(tensor) for name, tensor in _by_name(inputs).items()}
        if len(set(rows.values())) != 1:
            raise ValueError(f"inputs: expected tensors of as many rows as there are items, found {rows}")
        self._whole, self._rows = inputs, None  # type: tuple[Tensor | Mapping[str, Tensor], Tensor | None]

    @property
    def inputs(self) -> Tensor | Mapping[str, Tensor]:
        """The tensors; those of a view are copied together."""
        return self._whole if self._rows is None else _at(self._whole, self._rows)

    def by_name(self) -> Mapping[str, Tensor]:
        """The tensors by name; a single tensor has the name ""."""
        return _by_name(self.inputs)

    def __len__(self) -> int:
        return len(next(iter(_by_name(self._whole).values()))) if self._rows is None else len(self._rows)

    def fetch(self, rows: Tensor) -> Tensor | dict[str, Tensor]:
        found: Tensor | dict[str, Tensor] = _at(self._whole, rows if self._rows is None else self._rows[rows])
        return found

    def select(self, rows: Tensor) -> Self:
        chosen = copy.copy(self)
        if len(rows) * COPIED_BELOW < len(next(iter(_by_name(self._whole).values()))):
            chosen._whole, chosen._rows = self.fetch(rows), None
        else:
            chosen._rows = rows if self._rows is None else self._rows[rows]
        return chosen


class TextStorage(Storage):
    """Texts, or pairs of texts."""

    modality = "text"

    def __init__(self, texts: Sequence[Text]) -> None:
        self.texts = list(texts)
        self.pairs = bool(self.texts) and not isinstance(self.texts[0], str)
        for row, text in enumerate(self.texts):
            if not (_is_pair(text) if self.pairs else isinstance(text, str)):
                expected = "a pair of texts" if self.pairs else "a text"
                raise ValueError(f"inputs: row {row} is {text!r}; expected {expected}, as in row 0")

    def __len__(self) -> int:
        return len(self.texts)

    def fetch(self, rows: Tensor) -> list[Text]:
        return [self.texts[row] for row in rows.tolist()]

    def select(self, rows: Tensor) -> TextStorage:
        return TextStorage(self.fetch(rows))


class EncodedStorage(Storage):
    """Encoded items, decoded each time they are fetched, for data sets that do not fit in memory once decoded.

    Args:
        sources: what each item is decoded from, bytes or a path.
        decode: turns a source into an array; all of one shape.
        rows: which of the sources are items; None: all.
    """

    def __init__(self, sources: Sequence[Any], decode: Callable[[Any], NDArray[Any]], rows: Tensor | None = None) -> None:
        self.sources, self.decode = sources, decode
        self.rows = torch.arange(len(sources)) if rows is None else rows

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def in_memory(self) -> bool:
        return False

    def fetch(self, rows: Tensor) -> Tensor:
        return torch.from_numpy(np.stack([self.decode(self.sources[row]) for row in self.rows[rows].tolist()]))

    def select(self, rows: Tensor) -> EncodedStorage:
        return EncodedStorage(self.sources, self.decode, self.rows[rows])


def _by_name(inputs: Tensor | Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    return {"": inputs} if isinstance(inputs, Tensor) else inputs


def _at(inputs: Tensor | Mapping[str, Tensor], rows: Tensor) -> Any:
    return inputs[rows] if isinstance(inputs, Tensor) else {name: tensor[rows] for name, tensor in inputs.items()}


def input_for_actor(actor: str, names: Sequence[str]) -> str | None:
    """Which of several inputs an actor reads.

    An actor with an input of its own name reads that. The average of the student reads the student's input; assistants and
    further teachers read the teacher's, which stands last. None if there is one input for all actors.
    """
    if not names or actor in names:
        return actor if names else None
    return "student" if actor == "average" and "student" in names else names[-1]


def as_storage(inputs: Inputs) -> TensorStorage | TextStorage:
    """The storage for inputs in memory."""
    return TensorStorage(inputs) if isinstance(inputs, Tensor | Mapping) else TextStorage(inputs)


def looks_like_images(inputs: Tensor) -> bool:
    """Whether these may be images `[N, C, H, W]`: of bytes, or of floats that are all in [0, 1]."""
    if inputs.ndim != 4 or not inputs.numel():
        return False
    return inputs.dtype == torch.uint8 or (inputs.is_floating_point() and bool(inputs.min() >= 0) and bool(inputs.max() <= 1))


def check_finite(storage: TensorStorage | TextStorage, first: int = 0) -> None:
    """Raises a ValueError with the row of the first NaN or infinity among the inputs; `first` numbers the first row."""
    for name, tensor in storage.by_name().items() if isinstance(storage, TensorStorage) else ():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            wrong = (~tensor.isfinite()).nonzero()[0]
            found = f"row {first + int(wrong[0])} holds {float(tensor[tuple(wrong)]):g}"
            raise ValueError(f"inputs{f' {name!r}' if name else ''}: {found}; expected finite numbers")


def parts_of(text: Text) -> tuple[str, ...]:
    """The one text, or both texts of a pair."""
    return (text,) if isinstance(text, str) else text


def display_text(text: Text) -> str:
    """A text for display; the texts of a pair stand on two lines."""
    return "\n".join(parts_of(text))


def _is_pair(text: object) -> bool:
    return isinstance(text, tuple) and len(text) == 2 and all(isinstance(part, str) for part in text)
