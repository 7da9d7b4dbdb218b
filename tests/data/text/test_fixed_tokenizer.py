"""Tokenizers with fixed settings, and their identity."""

from __future__ import annotations

from typing import Any

import pytest

from limbeck.data import Items, tokenize
from tests.data.text.tokens import everything, same, tokens
from tests.data.tiny_tokenizers import CORPUS, byte_bpe, of_words, wordpiece

TOKENIZER = wordpiece()


def test_identity_depends_on_all_settings() -> None:
    items = Items.from_tensors(["the fox"])

    def identity(tokenizer: Any, max_length: int = 128) -> str:
        return tokens(tokenize(items, tokenizer, max_length)).identity()

    words = ["the", "fox"]
    base = identity(of_words(words))
    assert base == identity(of_words(words)) == tokens(tokenize(Items.from_tensors(CORPUS), of_words(words))).identity()
    others = [
        identity(of_words(words), 64),
        identity(of_words(["fox", "the"])),
        identity(of_words(words, types=False)),
        identity(of_words(words, padding_side="left")),
        identity(of_words(words, truncation_side="left")),
        identity(of_words(words, pad_token="[UNK]")),
        identity({"student": of_words(words), "teacher": of_words([*words, "dog"])}),
        identity({"student": of_words([*words, "dog"]), "teacher": of_words(words)}),
    ]
    assert len({base, *others}) == 9


def test_later_changes_of_a_tokenizer_have_no_effect() -> None:
    tokenizer = of_words(["the", "fox"])
    done = tokenize(Items.from_tensors(["the fox", "fox"]), tokenizer)
    before, identity = everything(done), tokens(done).identity()
    tokenizer.padding_side = "left"
    tokenizer.add_tokens(["dog"])
    assert same(everything(done), before)
    assert tokens(done).identity() == identity


def test_wrong_tokenizers_are_refused() -> None:
    items = Items.from_tensors(CORPUS)
    short = of_words(["the"], model_max_length=64)
    with pytest.raises(ValueError, match="max_length=128: the tokenizer is limited to 64 tokens; set max_length to 64 or less"):
        tokenize(items, short)
    with pytest.raises(ValueError, match="max_length=128: the teacher's tokenizer is limited to 64 tokens"):
        tokenize(items, {"student": TOKENIZER, "teacher": short})
    with pytest.raises(ValueError, match=r"max_length=2: the tokenizer adds 2 special tokens.*set max_length to 3 or more"):
        tokenize(items, TOKENIZER, max_length=2)
    with pytest.raises(ValueError, match=r"has no padding token; set tokenizer.pad_token.* name the folder as data.tokenizer"):
        tokenize(items, byte_bpe(pad_token=None))
    with pytest.raises(ValueError, match=r"the student's tokenizer \(function\) is not a fast one"):
        tokenize(items, {"student": lambda text: text, "teacher": TOKENIZER})
    with pytest.raises(ValueError, match="multiple=0: expected 1 or more"):
        tokenize(items, TOKENIZER, multiple=0)
