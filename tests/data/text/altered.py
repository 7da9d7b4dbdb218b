"""Texts, replacements from a dictionary, and altered copies by text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from limbeck.data import Items, augment_texts
from limbeck.data.text.words import WordSpans

ANSWERS = {
    "good": ("decent", "fine", "nice"),
    "Good": ("Decent", "Fine", "Nice"),
    "film": ("cinema", "movie"),
    "bad": ("awful", "poor", "weak", "worse"),
    "late": ("tardy",),
}


TEXTS = ["Good film, late!", "a bad film.", "good good good", "no word has any", "late", "", "bad, bad film: 2nd half late"]


class Fixed:
    """Candidates from a dictionary; counts its calls."""

    def __init__(self, answers: dict[str, tuple[str, ...]] = ANSWERS) -> None:
        self.answers, self.asked = answers, 0
        self.identity = f"fixed {sorted(answers.items())}"

    def __call__(self, texts: Sequence[WordSpans]) -> list[list[tuple[str, ...]]]:
        self.asked += 1
        return [[self.answers.get(word, ()) for word in text.words] for text in texts]


def items_of(texts: Sequence[Any]) -> Items:
    return Items.from_tensors(list(texts), torch.arange(len(texts)), classes=max(len(texts), 1))


def texts_of(items: Items) -> list[Any]:
    found: list[Any] = items.fetch(torch.arange(len(items)))
    return found


def copies_of(texts: Sequence[Any], **options: Any) -> dict[Any, list[tuple[int, Any]]]:
    """By text: key and text of each of its copies, in order."""
    items = augment_texts(items_of(texts), Fixed(), **options)
    made: dict[Any, list[tuple[int, Any]]] = {text: [] for text in texts}
    assert items.target is not None
    for key, row, text in list(zip(items.keys.tolist(), items.target.tolist(), texts_of(items), strict=True))[len(texts) :]:
        made[texts[row]].append((key, text))
    return made
