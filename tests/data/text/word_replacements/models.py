"""Small masked models and tables of word vectors."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import torch
import transformers
from torch import Tensor, nn

from limbeck.data.text.words import WordSpans

VOCABULARY = [
    *("the", "a", "film", "movie", "is", "was", "good", "bad", "fine", "weak", "and", "but", "it", "cafe", "owner", "late"),
    *("##s", "##ly", "don", "t", "2", "!", ",", ".", "'"),
]


TEXTS = [
    "The film is good, but weak.",
    "It was a bad movie!",
    "the café owners don't",
    "Good",
    "",
    "2 !",
    "films late and late",
]


FAMILIES = {
    "Bert": {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24},
    "DistilBert": {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24},
    "MobileBert": {  # its head is not a layer of its own
        **{"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24},
        **{"embedding_size": 16, "intra_bottleneck_size": 16},
    },
}


def masked_model(tokenizer: Any, family: str = "Bert", rows: int | None = None) -> nn.Module:
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(vocab_size=rows or len(tokenizer), **FAMILIES[family])
    model: nn.Module = getattr(transformers, f"{family}ForMaskedLM")(config).eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)  # with the default initialisation, predictions are nearly the same everywhere
    return model


def parsed(texts: Sequence[str]) -> list[WordSpans]:
    return [WordSpans.of(text) for text in texts]


def table(count: int = 60, width: int = 5, seed: int = 0) -> tuple[list[str], Tensor]:
    draw = random.Random(seed)
    words = sorted({"".join(draw.choices("abcdefgh", k=4)) for _ in range(count)})
    draw.shuffle(words)
    offset = torch.full((width,), 2.0)  # what all share
    return words, torch.randn(len(words), width, generator=torch.Generator().manual_seed(seed)) + offset
