"""Words as pieces: the first carries the tag, and words without a token are counted."""

from __future__ import annotations

import pytest
import torch

from limbeck.core.source import BatchPosition
from limbeck.data import Dataset, TaggedWords, TagTargets, tokenize_words
from tests.data import tiny_tokenizers

NAMES = ("O", "B-PER", "I-PER")
PIECES = ("ada", "love", "##lace", "is", "here")


def sentences() -> TaggedWords:
    return TaggedWords((("ada", "lovelace", "is"), ("here",), ("is", "ada")), ((1, 2, 0), (0,), None), NAMES)


def test_the_first_piece_of_a_word_has_its_tag() -> None:
    items = tokenize_words(sentences(), tiny_tokenizers.of_words(PIECES), 16)
    assert items.fetch(torch.tensor([0]))["input_ids"].tolist() == [[2, 5, 6, 7, 8, 3]]
    assert items.target["labels"].tolist()[0] == [-100, 1, 2, -100, 0, -100]
    assert items.target["labels"].tolist()[1] == [-100, 0, -100, -100, -100, -100]
    assert items.target["labelled"].tolist() == [True, True, False]
    assert (items.classes, items.class_names, len(items.labelled())) == (3, list(NAMES), 2)
    assert items.select(torch.tensor([2, 0])).storage.words(1) == ("ada", "lovelace", "is")


def test_the_view_gives_targets_as_wide_as_the_batch() -> None:
    items = tokenize_words(sentences(), tiny_tokenizers.of_words(PIECES), 16, multiple=8)
    source = Dataset(items, 3, views={"default": TagTargets()}, group_by_length=False)
    batch = source.batch(BatchPosition(0, 0))
    assert batch.target.shape == batch.inputs["default"]["input_ids"].shape == (3, 8)
    row = batch.index.tolist().index(0)
    assert batch.target[row].tolist() == [-100, 1, 2, -100, 0, -100, -100, -100]
    assert (batch.target[batch.index.tolist().index(2)] == -100).all()
    hidden = Dataset(items.without_labels(torch.tensor([0])), 3, views={"default": TagTargets()})
    batch = hidden.batch(BatchPosition(0, 0))
    assert (batch.target[batch.index.tolist().index(0)] == -100).all()


def test_words_without_a_token_are_counted() -> None:
    with pytest.warns(UserWarning, match=r"1 of 6 words \(16\.7%\) lie beyond max_length=5"):
        items = tokenize_words(sentences(), tiny_tokenizers.of_words(PIECES), 5)
    assert items.target["labels"].tolist()[0] == [-100, 1, 2, -100, -100]
    assert items.storage.tags(0) == ("B-PER", "I-PER", "O")
    assert items.target["labelled"].tolist() == [True, True, False]


def test_classes_are_renumbered_in_labels_of_tokens() -> None:
    items = tokenize_words(sentences(), tiny_tokenizers.of_words(PIECES), 16).align_classes(["I-PER", "O", "B-ORG", "B-PER"])
    assert items.target["labels"].tolist()[0] == [-100, 3, 0, -100, 1, -100]
    assert items.storage.tags(0) == ("B-PER", "I-PER", "O")


def test_tokenizers_of_other_ids_are_aligned_and_of_other_pieces_refused() -> None:
    one, other = tiny_tokenizers.of_words(PIECES), tiny_tokenizers.of_words(PIECES[::-1])
    items = tokenize_words(sentences(), {"student": one, "teacher": other}, 16)
    assert items.storage.input_names == ("student", "teacher")
    assert items.storage.aligned
    assert items.for_actor("teacher").storage.words(0) == ("ada", "lovelace", "is")
    with pytest.raises(ValueError, match="cut words differently, first in sentence 0"):
        tokenize_words(sentences(), {"student": one, "teacher": tiny_tokenizers.of_words([*PIECES, "lovelace"])}, 16)


def test_tokenizers_that_do_not_fit_words_are_refused() -> None:
    with pytest.raises(ValueError, match="add_prefix_space=True"):
        tokenize_words(sentences(), tiny_tokenizers.byte_bpe(), 16)
    with pytest.raises(ValueError, match="padding_side"):
        tokenize_words(sentences(), tiny_tokenizers.of_words(PIECES, padding_side="left"), 16)
