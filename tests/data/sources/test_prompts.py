"""Prompts of any length, from anything that holds token ids or texts."""

from __future__ import annotations

import pytest
import torch

from limbeck.data import Items
from limbeck.data.sources.prompts import Prompts

TEXTS = ["a bb", "c", "dd e f"]
IDS = [[1, 2], [1], [2, 1, 1]]


def words(texts):
    return [[len(word) for word in text.split()] for text in texts]


class Reader:
    def __init__(self, texts=()) -> None:
        self.given, self.asked = list(texts), []

    def texts(self, data):
        self.asked.append(data)
        return self.given

    def tokenize(self, texts):
        return words(texts)


def lists(prompts: Prompts) -> list[list[int]]:
    return [row.tolist() for row in prompts.rows]


@pytest.mark.parametrize("given", [IDS, [torch.tensor(row) for row in IDS], tuple(IDS)])
def test_token_ids_of_any_length(given):
    prompts = Prompts(given)
    assert lists(prompts) == IDS
    assert (len(prompts), prompts.longest, prompts.largest) == (3, 3, 2)


def test_tensors_and_padded_tokens():
    assert lists(Prompts(torch.tensor([[1, 2], [3, 4]]))) == [[1, 2], [3, 4]]
    padded = {"input_ids": torch.tensor([[5, 6, 0], [7, 0, 0]]), "attention_mask": torch.tensor([[1, 1, 0], [1, 0, 0]])}
    assert lists(Prompts(Items.from_tensors(padded))) == [[5, 6], [7]]


@pytest.mark.parametrize("given", [TEXTS, Items.from_tensors(TEXTS)])
def test_texts_are_tokenized_at_once_or_by_the_recipe(given):
    assert lists(Prompts(given, words)) == IDS
    assert lists(Prompts(given, lambda texts: {"input_ids": words(texts)})) == IDS
    later = Prompts(given)
    assert not later.loaded
    with pytest.raises(ValueError, match="prompts are texts; pass tokenizer="):
        len(later)
    later.load(Reader())
    assert lists(later) == IDS


def test_files_are_read_by_the_recipe(tmp_path):
    reader = Reader(TEXTS)
    for given in ("prompts.parquet", {"path": "prompts.parquet", "input": "question"}):
        prompts = Prompts(given)
        with pytest.raises(ValueError, match=r"prompts\.parquet.* is not read yet"):
            len(prompts)
        prompts.load(reader)
        assert lists(prompts) == IDS
    assert reader.asked == [{"path": "prompts.parquet", "label": False}, {"label": False, **given}]
    (tmp_path / "prompts.txt").write_text("\n".join(["", *TEXTS, "  ", ""]), encoding="utf-8")
    prompts = Prompts(tmp_path / "prompts.txt")
    prompts.load(Reader())
    assert lists(prompts) == IDS


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "prompts are empty"),
        (torch.zeros(0, 4), "prompts are empty"),
        ([[1], []], r"row 1 is \[\], without any token; leave such prompts out"),
        (torch.zeros(3, 0), "row 0 is"),
        (torch.zeros(3), r"have shape \[3\]; expected token ids"),
        (3, "prompts is int; expected token ids"),
        ([[1, "a"]], "are no token ids"),
        (Items.from_tensors(torch.rand(3, 1, 4, 4)), "Items of neither texts nor tokens"),
    ],
)
def test_what_is_no_prompt_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        Prompts(given)


def test_a_text_without_tokens_is_named():
    with pytest.raises(ValueError, match=r"own_samples: solution, row 1 is '  ', without any token"):
        Prompts(["a", "  "], words, "solution")


def test_a_token_that_ends_every_text_is_left_out_since_a_sample_follows():
    from tests.data.tiny_tokenizers import byte_bpe, of_words

    words = of_words(["a", "b"])  # [CLS] … [SEP]
    assert [row.tolist() for row in Prompts(["a b", "b"], words).rows] == [[2, 5, 6], [2, 6]]
    roberta = byte_bpe()  # <s> … </s>
    assert [row.tolist() for row in Prompts(["a b"], roberta).rows] == [roberta("a b")["input_ids"][:-1]]
    plain = byte_bpe(special=False)
    assert [row.tolist() for row in Prompts(["a b"], plain).rows] == [plain("a b")["input_ids"]]
