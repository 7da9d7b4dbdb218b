"""Predictions and inputs as text, for reports that show where student and teacher differ."""

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
    """The input of one prediction, as text.

    Attributes:
        question: about the text, if there is one; truth: its answer.
        span: start and end of the characters of `text` that hold the answer.
    """

    text: str
    question: str | None = None
    truth: str | None = None
    span: tuple[int, int] | None = None


@dataclass(frozen=True)
class TextPredictions:
    """Predictions that are neither classes nor numbers, of several seeds for each unit of evaluation: an item, or a question
    with all its windows.

    Attributes:
        choice: [seeds, units], equal where the predictions are.
        text: the prediction of a seed for a unit, as text.
        confidence: [seeds, units], its probability; None where there is none.
        input: the input of a unit; None where that is the item of this index.
        truth: the true prediction of a unit, as text; None where the input says it or there is none.
    """

    choice: NDArray[Any]
    text: Callable[[int, int], str]
    confidence: NDArray[np.float64] | None = None
    input: Callable[[int], TextInput] | None = None
    truth: Callable[[int], str] | None = None


def text_of(items: Items, row: int) -> str | None:
    """An item as text; None if it is not text."""
    if isinstance(items.storage, TokenStorage):
        return items.storage.text(row)
    return display_text(items.storage.texts[row]) if isinstance(items.storage, TextStorage) else None
