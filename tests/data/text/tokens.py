"""Items of tokens, and tokenizers that share their tokens."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from limbeck.data import Items, TokenStorage
from tests.data.tiny_tokenizers import of_words


def tokens(items: Items) -> TokenStorage:
    assert isinstance(items.storage, TokenStorage)
    return items.storage


def everything(items: Items) -> Any:
    return items.fetch(torch.arange(len(items)))


def same(ours: dict[str, Tensor], theirs: Any) -> bool:
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def wordpiece_like(tokenizer: Any, types: bool = True, **options: Any) -> Any:
    """A tokenizer of the same tokens with other types or padding."""
    vocabulary = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)[5:]
    return of_words(vocabulary, types, **options)
