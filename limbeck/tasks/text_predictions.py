"""What models said, as people read it: for pages that show where student and teacher differ."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from limbeck.data import Items, TokenStorage
from limbeck.data.storage import TextStorage, display_text


@dataclass(frozen=True)
class TextInput:
    """What was put to the models.

    Attributes:
        question: about the text, where there is one; truth: its answer.
        where: the characters of the text that the answer stands in, from where to before where.
    """

    text: str
    question: str | None = None
    truth: str | None = None
    where: tuple[int, int] | None = None


@dataclass(frozen=True)
class TextPredictions:
    """Answers that are neither classes nor numbers, of several seeds to each unit that is judged: an item, or a question with
    all its windows.

    Attributes:
        choice: [seeds, units], equal where the same was said.
        said: seed and unit → the answer in words.
        sure: [seeds, units], the probability that was given to it; None where there is no such thing.
        asked: unit → what was put to the models; None where that is the item of this number.
    """

    choice: NDArray[Any]
    said: Callable[[int, int], str]
    sure: NDArray[np.float64] | None = None
    asked: Callable[[int], TextInput] | None = None


def text_of(items: Items, row: int) -> str | None:
    """An item as a text; None where it is none."""
    if isinstance(items.storage, TokenStorage):
        return items.storage.text(row)
    return display_text(items.storage.texts[row]) if isinstance(items.storage, TextStorage) else None
