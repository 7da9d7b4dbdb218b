"""Questions with contexts, their windows, and logits of a model that is certain of the labels."""

from __future__ import annotations

import torch
from torch import Tensor

from limbeck.data import (
    Items,
    Questions,
    WindowStorage,
)
from tests.data.tiny_tokenizers import byte_bpe, wordpiece

TOKENIZERS = {"wordpiece": wordpiece(), "byte-level": byte_bpe(), "without special tokens": byte_bpe(special=False)}


ALPHABET = "abc é.ñ’😀\n-"


def ask(context: str, answer: str | None = None, question: str = "who is it?", start: int | None = None) -> Questions:
    answers = () if answer is None else ((answer, context.index(answer) if start is None else start),)
    return Questions(("q",), (question,), (context,), (answers,))


def join(*asked: Questions) -> Questions:
    columns = [sum((getattr(one, name) for one in asked), ()) for name in ("ids", "questions", "contexts", "answers")]
    return Questions(*columns)


def storage(items: Items) -> WindowStorage:
    assert isinstance(items.storage, WindowStorage)
    return items.storage


def sure(items: Items) -> list[tuple[Tensor, Tensor]]:
    """Logits of a model that is certain of the labels: one window at a time, at its own width."""
    said = []
    for row, (first, last) in enumerate((items.target if items.target is not None else torch.tensor([])).tolist()):
        logits = torch.full((1, 2, int(storage(items).lengths[row])), -5.0)
        if last > 0:
            logits[0, 0, first] = logits[0, 1, last] = 5
        said.append((torch.tensor([row]), logits))
    return said
