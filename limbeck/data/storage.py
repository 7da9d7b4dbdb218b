"""Storage of inputs: tensors in memory, texts, or encoded images and sounds that are decoded when they are fetched."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Text = str | tuple[str, str]
"""A text, or a pair of texts (a question and a passage, two sentences)."""

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
    def fetch(self, rows: Tensor, workers: int = 0) -> Any:
        """The inputs at these rows as one batch. Decoding runs in up to `workers` threads."""

    @abstractmethod
    def select(self, rows: Tensor) -> Storage:
        """Only these rows, in this order."""


class TensorStorage(Storage):
    """A tensor whose first dimension counts items, or a mapping of such tensors (modalities, the output of a tokenizer)."""

    def __init__(self, inputs: Tensor | Mapping[str, Tensor]) -> None:
        self.inputs = inputs
        rows = {name: len(tensor) for name, tensor in self.by_name().items()}
        if len(set(rows.values())) != 1:
            raise ValueError(f"inputs: expected tensors of as many rows as there are items, found {rows}")

    def by_name(self) -> Mapping[str, Tensor]:
        """The tensors by name; a single tensor has the name ""."""
        return {"": self.inputs} if isinstance(self.inputs, Tensor) else self.inputs

    def __len__(self) -> int:
        return len(next(iter(self.by_name().values())))

    def fetch(self, rows: Tensor, workers: int = 0) -> Tensor | dict[str, Tensor]:
        if isinstance(self.inputs, Tensor):
            return self.inputs[rows]
        return {name: tensor[rows] for name, tensor in self.inputs.items()}

    def select(self, rows: Tensor) -> TensorStorage:
        return TensorStorage(self.fetch(rows))


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

    def fetch(self, rows: Tensor, workers: int = 0) -> list[Text]:
        return [self.texts[row] for row in rows.tolist()]

    def select(self, rows: Tensor) -> TextStorage:
        return TextStorage(self.fetch(rows))


class EncodedStorage(Storage):
    """Encoded images or sounds, for data sets that do not fit in memory once decoded.

    Args:
        sources: what each item is decoded from, bytes or a path.
        decode: turns a source into an array, for images uint8 `[C, H, W]`; all of one shape.
    """

    def __init__(self, sources: Sequence[Any], decode: Callable[[Any], NDArray[Any]]) -> None:
        self.sources, self.decode = sources, decode

    def __len__(self) -> int:
        return len(self.sources)

    def fetch(self, rows: Tensor, workers: int = 0) -> Tensor:
        wanted = [self.sources[row] for row in rows.tolist()]
        if workers > 1:
            with ThreadPoolExecutor(workers) as threads:  # Pillow releases the interpreter lock while it decodes
                return torch.from_numpy(np.stack(list(threads.map(self.decode, wanted))))
        return torch.from_numpy(np.stack([self.decode(source) for source in wanted]))

    def select(self, rows: Tensor) -> EncodedStorage:
        return EncodedStorage([self.sources[row] for row in rows.tolist()], self.decode)


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


def check_finite(storage: TensorStorage | TextStorage) -> None:
    """Raises a ValueError with the row of the first NaN or infinity among the inputs."""
    for name, tensor in storage.by_name().items() if isinstance(storage, TensorStorage) else ():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            wrong = (~tensor.isfinite()).nonzero()[0]
            found = f"row {int(wrong[0])} holds {float(tensor[tuple(wrong)]):g}"
            raise ValueError(f"inputs{f' {name!r}' if name else ''}: {found}; expected finite numbers")


def parts_of(text: Text) -> tuple[str, ...]:
    """The one text, or both texts of a pair."""
    return (text,) if isinstance(text, str) else text


def display_text(text: Text) -> str:
    """A text for display; the texts of a pair stand on two lines."""
    return "\n".join(parts_of(text))


def _is_pair(text: object) -> bool:
    return isinstance(text, tuple) and len(text) == 2 and all(isinstance(part, str) for part in text)
