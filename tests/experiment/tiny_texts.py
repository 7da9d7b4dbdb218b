"""Tiny encoders, and short texts for them."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from torch import nn

from limbeck.data import Items, tokenize
from tests.data.tiny_tokenizers import of_words

transformers = pytest.importorskip("transformers")
WORDS = ["good", "bad", "film", "the", "un", "##able", "unable"]


def encoder(name: str = "Bert", head: str = "ForSequenceClassification", **options: Any) -> nn.Module:
    sizes = {"vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 16}
    torch.manual_seed(0)
    config = getattr(transformers, f"{name}Config")(**(sizes | {"max_position_embeddings": 16} | options))
    model: nn.Module = getattr(transformers, f"{name}{head}")(config)
    return model


def texts(count: int = 12, seed: int = 0) -> tuple[list[str], list[int]]:
    draw = random.Random(seed)
    labels = [place % 2 for place in range(count)]
    return [" ".join([("bad", "good")[label], *draw.choices(("the", "film"), k=3)]) for label in labels], labels


def items(max_length: int = 16) -> Items:
    written, labels = texts()
    return tokenize(Items.from_tensors(written, labels), of_words(WORDS), max_length)
