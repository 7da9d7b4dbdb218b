"""Where the inputs of a data set lie: tensors in memory, texts, or encoded images that are decoded when fetched."""

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
"""One text, or a pair of them (a question and a passage, two sentences)."""

Inputs = Tensor | Mapping[str, Tensor] | Sequence[str] | Sequence[tuple[str, str]]


class Storage(ABC):
    """Inputs by row; immutable.

    Attributes:
        lengths: how long each item is, int64 `[N]`, where a batch is padded to its longest; None where all are of one size.
    """

    lengths: Tensor | None = None

    @property
    def input_names(self) -> tuple[str, ...]:
        """The actors that have inputs of their own here, such as tokens of another vocabulary; none where all read the same."""
        return ()

    @property
    def aligned(self) -> bool:
        """Whether all actors read the same words, token by token."""
        return True

    def first_difference(self) -> str | None:
        """Where they do not, for a message."""
        return None

    def select_input(self, name: str) -> Any:
        """What one of `names` reads: a storage, or items where it has others of them."""
        return self

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def fetch(self, rows: Tensor, workers: int = 0) -> Any:
        """The inputs at these rows as one batch; up to `workers` threads share the work of decoding."""

    @abstractmethod
    def select(self, rows: Tensor) -> Storage: ...


class TensorStorage(Storage):
    """One tensor whose first dimension counts items, or a mapping of such tensors (modalities, a tokenizer's output)."""

    def __init__(self, inputs: Tensor | Mapping[str, Tensor]) -> None:
        self.inputs = inputs
        rows = {name: len(part) for name, part in self.parts().items()}
        if len(set(rows.values())) != 1:
            raise ValueError(f"inputs: expected tensors of as many rows as there are items, found {rows}")

    def parts(self) -> Mapping[str, Tensor]:
        return {"": self.inputs} if isinstance(self.inputs, Tensor) else self.inputs

    def __len__(self) -> int:
        return len(next(iter(self.parts().values())))

    def fetch(self, rows: Tensor, workers: int = 0) -> Tensor | dict[str, Tensor]:
        if isinstance(self.inputs, Tensor):
            return self.inputs[rows]
        return {name: part[rows] for name, part in self.inputs.items()}

    def select(self, rows: Tensor) -> TensorStorage:
        return TensorStorage(self.fetch(rows))


class TextStorage(Storage):
    """Texts, or pairs of texts."""

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


class EncodedImageStorage(Storage):
    """Images too many to keep decoded: `decode` turns each source (bytes or a path) into a uint8 array `[C, H, W]`."""

    def __init__(self, sources: Sequence[Any], decode: Callable[[Any], NDArray[np.uint8]]) -> None:
        self.sources, self.decode = sources, decode

    def __len__(self) -> int:
        return len(self.sources)

    def fetch(self, rows: Tensor, workers: int = 0) -> Tensor:
        wanted = [self.sources[row] for row in rows.tolist()]
        if workers > 1:
            with ThreadPoolExecutor(workers) as threads:  # Pillow decodes outside the interpreter's lock
                return torch.from_numpy(np.stack(list(threads.map(self.decode, wanted))))
        return torch.from_numpy(np.stack([self.decode(source) for source in wanted]))

    def select(self, rows: Tensor) -> EncodedImageStorage:
        return EncodedImageStorage([self.sources[row] for row in rows.tolist()], self.decode)


def display_text(text: Text) -> str:
    """A text for people to read; of a pair, two lines."""
    return text if isinstance(text, str) else "\n".join(text)


def as_storage(inputs: Inputs) -> TensorStorage | TextStorage:
    return TensorStorage(inputs) if isinstance(inputs, Tensor | Mapping) else TextStorage(inputs)


def _is_pair(text: object) -> bool:
    return isinstance(text, tuple) and len(text) == 2 and all(isinstance(part, str) for part in text)
