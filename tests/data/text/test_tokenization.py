"""`tokenize`, against the tokenizer's own output."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck.data import Items, evaluation_batches, tokenize
from limbeck.data.dataset import unaugmented_batch
from tests.data.text.tokens import everything, same, tokens, wordpiece_like
from tests.data.tiny_tokenizers import CORPUS, byte_bpe, of_words, wordpiece

PAIRS = [("what is it?", CORPUS[0]), ("", CORPUS[1]), (CORPUS[2], ""), ("", "")]


@pytest.mark.parametrize("texts", [CORPUS, [*CORPUS, ""], PAIRS], ids=["texts", "with an empty one", "pairs"])
@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("make", [wordpiece, byte_bpe])
def test_batches_agree_with_the_tokenizer(texts: list[Any], side: str, make: Any) -> None:
    tokenizer = make(padding_side=side, pad_token_type_id=1)
    items = Items.from_tensors(texts, [0] * len(texts))
    done = tokenize(items, tokenizer)
    assert torch.equal(done.keys, items.keys)
    assert done.target is items.target
    assert not done.images
    for rows in ([0], [2, 1], list(range(len(texts)))):
        expected = tokenizer([texts[row] for row in rows], padding="longest", return_tensors="pt")
        assert same(done.fetch(torch.tensor(rows)), expected)
    batch = unaugmented_batch(done, torch.tensor([1, 0]))
    assert batch.mask is not None
    assert batch.mask.dtype == torch.bool
    assert batch.mask.sum(1).tolist() == tokens(done).lengths[[1, 0]].tolist()


TOKENIZER = wordpiece()


@settings(deadline=None, max_examples=40)
@given(st.lists(st.text(max_size=30), min_size=1, max_size=6), st.integers(3, 20), st.integers(1, 9))
def test_truncation_and_padding_agree_with_the_tokenizer(texts: list[str], max_length: int, multiple: int) -> None:
    tokenizer = TOKENIZER
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        done = tokenize(Items.from_tensors(texts), tokenizer, max_length, multiple=multiple)
    ours = everything(done)
    expected = tokenizer(texts, truncation=True, max_length=max_length)["input_ids"]
    mask = ours["attention_mask"].bool()
    assert [row[real].tolist() for row, real in zip(ours["input_ids"], mask, strict=True)] == expected
    width, longest = mask.shape[1], max(map(len, expected))
    assert longest <= width <= max_length
    assert width == max_length or (width % multiple == 0 and width - longest < multiple)


def test_long_texts_are_cut_and_counted() -> None:
    items = Items.from_tensors([*CORPUS, "fox"])
    with pytest.warns(
        UserWarning, match=r"^4 of 5 items \(80.0%\) are longer than max_length=6 tokens and were cut$"
    ) as caught:
        done = tokenize(items, TOKENIZER, max_length=6)
    assert len(caught) == 1
    assert tokens(done).lengths[:4].tolist() == [6] * 4
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        whole = tokenize(items, TOKENIZER)
        tokenize(items, TOKENIZER, max_length=int(tokens(whole).lengths.max()))  # just long enough
    named = {"student": TOKENIZER, "teacher": byte_bpe()}
    with pytest.warns(UserWarning, match=r"student: 4 of 5 items .*; teacher: 4 of 5 items"):
        tokenize(items, named, max_length=6)


def test_the_longer_text_of_a_pair_is_cut() -> None:
    items = Items.from_tensors([("the fox", "the dog " * 20)])
    with pytest.warns(UserWarning, match="1 of 1 items"):
        done = tokenize(items, of_words(["the", "fox", "dog"]), max_length=10)
    assert everything(done)["token_type_ids"].tolist() == [[0] * 4 + [1] * 6]


def test_equal_tokenizers_give_one_encoding() -> None:
    again = copy.deepcopy(TOKENIZER)
    again(CORPUS, truncation=True, max_length=5, padding=True)  # leaves its settings in the backend
    done = tokens(tokenize(Items.from_tensors(CORPUS), {"student": TOKENIZER, "teacher": again}))
    assert done.input_names == ()
    assert done.aligned
    assert done.first_difference() is None
    assert same(done.fetch(torch.arange(4)), tokenize(Items.from_tensors(CORPUS), TOKENIZER).fetch(torch.arange(4)))
    assert done.identity() == done.identity("teacher") == done.identity("student")


def test_vocabularies_that_differ_in_unused_tokens_give_one_encoding() -> None:
    items = Items.from_tensors(["the fox", "fox the"])
    named = {"student": of_words(["the", "fox", "dog"]), "teacher": of_words(["the", "fox", "cat"])}
    done = tokens(tokenize(items, named))
    assert done.input_names == ()
    assert done.identity("student") != done.identity("teacher")
    assert done.identity("teacher") == tokens(tokenize(items, named["teacher"])).identity()
    other = tokens(tokenize(Items.from_tensors(["the dog"]), named))
    assert other.input_names == ("student", "teacher")
    assert other.aligned


def test_other_token_types_or_padding_give_two_encodings() -> None:
    items = Items.from_tensors(CORPUS)
    for teacher in (wordpiece_like(TOKENIZER, types=False), wordpiece_like(TOKENIZER, padding_side="left")):
        done = tokenize(items, {"student": TOKENIZER, "teacher": teacher})
        assert tokens(done).input_names == ("student", "teacher")
        assert tokens(done).aligned
        assert same(everything(done)["teacher"], teacher(CORPUS, padding="longest", return_tensors="pt"))


def test_items_that_are_not_texts_or_have_no_tokens_are_refused() -> None:
    with pytest.raises(ValueError, match="expected texts, as load_items reads"):
        tokenize(Items.from_tensors(torch.rand(3, 2)), TOKENIZER)
    with pytest.raises(ValueError, match="item 1: an empty text has no tokens"):
        tokenize(Items.from_tensors(["the fox", ""]), byte_bpe(special=False))
    with pytest.raises(ValueError, match=r"tokenize\(items, tokenizer\)"):
        next(evaluation_batches(Items.from_tensors(["the fox"])))
