"""A made corpus of tagged sentences: names of people and places, of which some words are either, by what stands beside them."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch

TAGS = ["O", "B-LOC", "B-PER", "I-LOC", "I-PER"]
FIRST, LAST = ("ada", "grace", "alan", "jordan"), ("lovelace", "hopper", "london", "lincoln")
PLACES, SECOND = ("london", "lincoln", "jordan", "paris"), ("bridge", "park")
FILLER = ("the", "old", "film", "was", "and", "of", "very", "quite", "then")
WORDS = sorted({*FIRST, *LAST, *PLACES, *SECOND, *FILLER, "met", "in", "near", "said"})


def sentence(draw: random.Random) -> tuple[list[str], list[str]]:
    """`met` and `said` stand beside people, `in` and `near` before places; London and Jordan are either."""
    words: list[str] = []
    tags: list[str] = []

    def add(kind: str, *own: str) -> None:
        words.extend(own)
        tags.extend("O" if kind == "O" else f"{'I' if at else 'B'}-{kind}" for at in range(len(own)))

    for _ in range(draw.randrange(1, 4)):
        add("O", *draw.choices(FILLER, k=draw.randrange(3)))
        if draw.random() < 0.5:
            add("O", "met")
            add("PER", draw.choice(FIRST), *draw.choices(LAST, k=draw.randrange(2)))
        else:
            add("O", draw.choice(("in", "near")))
            add("LOC", draw.choice(PLACES), *draw.choices(SECOND, k=draw.randrange(2)))
    return words or ["the"], tags or ["O"]


def sentences(count: int, seed: int) -> tuple[list[list[str]], list[list[str]]]:
    draw = random.Random(seed)
    rows = [sentence(draw) for _ in range(count)]
    return [words for words, _ in rows], [tags for _, tags in rows]


def write_parquet(path: Path, count: int, seed: int) -> None:
    words, tags = sentences(count, seed)
    numbers = [[TAGS.index(tag) for tag in row] for row in tags]
    pq.write_table(pa.table({"tokens": words, "ner_tags": numbers}), path)


def write_conll(path: Path, count: int, seed: int) -> None:
    rows = zip(*sentences(count, seed), strict=True)
    path.write_text("\n\n".join("\n".join(map(" ".join, zip(*row, strict=True))) for row in rows) + "\n")


def teacher(folder: Path, *, layers: int = 3, hidden: int = 48, names: list[str] | None = None) -> None:
    """A small untrained BERT for these tags, with a tokenizer that cuts some words into pieces."""
    import transformers

    whole = [word for word in WORDS if word not in ("lovelace", "lincoln", "bridge")]
    pieces = ["love", "##lace", "lin", "##coln", "brid", "##ge"]
    vocabulary = {word: at for at, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *whole, *pieces])}
    transformers.BertTokenizerFast(vocab=vocabulary, model_max_length=64).save_pretrained(folder)
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"hidden_size": hidden, "num_hidden_layers": layers, "intermediate_size": 2 * hidden}
    labels: dict[str, Any] = {}
    if names is not None:
        labels = {"id2label": dict(enumerate(names)), "label2id": {name: at for at, name in enumerate(names)}}
    config = transformers.BertConfig(
        vocab_size=len(vocabulary), num_attention_heads=4, max_position_embeddings=64, num_labels=len(TAGS), **sizes, **labels
    )
    transformers.BertForTokenClassification(config).save_pretrained(folder)
