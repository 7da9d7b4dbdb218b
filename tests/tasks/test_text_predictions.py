"""What tasks tell of their answers, for people to read."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from limbeck.data import Items, Questions, WindowStorage, tokenize, tokenize_questions
from limbeck.tasks import QuestionAnswering, SentenceEmbeddings
from limbeck.tasks.question_answering import normalizers
from limbeck.tasks.text_predictions import text_of
from tests.data.tiny_tokenizers import of_words

WORDS = ["where", "is", "the", "cow", "dog", "owl", "barn", "field", ".", "in", "and", "now", "late", "it"]


@pytest.fixture
def asked() -> Items:
    contexts = ("the cow is in the barn . " + "it is late . " * 8, "the owl is in the field .", "the dog is in the barn .")
    answers = ((("the barn", contexts[0].index("the barn")),), (("field", contexts[1].index("field")),), ())
    questions = Questions(("a", "b", "c"), ("where is the cow", "where is the owl", "where is the dog"), contexts, answers)
    return tokenize_questions(questions, of_words(WORDS), 20, 4)


def random_logits(items: Items, seed: int) -> Tensor:
    return torch.randn(len(items), 2, int(items.storage.lengths.max()), generator=torch.Generator().manual_seed(seed))


def test_confidence_is_the_share_of_the_best_pair_among_all_pairs(asked: Items) -> None:
    logits, storage = random_logits(asked, 0), asked.storage
    assert isinstance(storage, WindowStorage)
    total = [[0.0, 0.0] for _ in range(3)]
    for window in range(len(asked)):
        for place, span in enumerate(storage.spans[window].tolist()):
            if span[0] >= 0:
                for end in (0, 1):
                    total[int(storage.question[window])][end] += math.exp(float(logits[window, end, place]))
    expected = [math.log(start) + math.log(end) for start, end in total]
    assert normalizers(logits, storage).tolist() == pytest.approx(expected)


def test_answers_are_told_by_question_with_their_context(asked: Items) -> None:
    task = QuestionAnswering()
    logits = torch.full((len(asked), 2, int(asked.storage.lengths.max())), -20.0)
    assert asked.target is not None
    for window, (first, last) in enumerate(asked.target.tolist()):
        if first > 0:
            logits[window, 0, first] = logits[window, 1, last] = 20.0
    found = task.to_predictions([logits, random_logits(asked, 1)], asked)
    told = found["text_predictions"]
    assert told.choice.shape == found["scores"].shape == (2, 2)  # the third question has no answer
    assert [told.text(0, unit) for unit in (0, 1)] == ["the barn", "field"]
    assert told.choice[0].tolist() == ["barn", "field"]
    assert told.confidence[0] == pytest.approx([1, 1])
    assert ((told.confidence[1] > 0) & (told.confidence[1] < 1)).all()
    put = told.input(1)
    assert (put.question, put.truth) == ("where is the owl", "field")
    assert put.text[slice(*put.span)] == "field"


def test_neighbours_are_told_as_texts() -> None:
    texts = ["the cow", "the dog", "late", "late now"]
    items = tokenize(Items.from_tensors(texts), of_words(WORDS), 8)
    task = SentenceEmbeddings("neighbour_overlap")
    task.teacher = nn.Identity()
    task._said[items.fingerprint()] = torch.tensor([[1.0, 0.1], [1, 0], [0, 1], [0.1, 1]])
    found = task.to_predictions([torch.tensor([[1.0, 0.1], [0, 1], [1, 0], [0.1, 1]])], items)
    assert [found["text_predictions"].text(0, row) for row in range(4)] == ["late", "late now", "the cow", "the dog"]
    assert found["text_predictions"].choice.tolist() == [[2, 3, 0, 1]]
    assert found["text_predictions"].confidence is None
    bare = Items(items.storage, items.keys).map_inputs(lambda inputs: inputs["input_ids"].float()[:, :2])
    task._said[bare.fingerprint()] = torch.rand(4, 2)
    assert task.to_predictions([torch.rand(4, 2)], bare)["text_predictions"] is None


def test_items_as_texts() -> None:
    spelt = ["The Cow <b>", "never seen"]
    items = tokenize(Items.from_tensors(spelt), of_words(WORDS), 8)
    assert [text_of(items.select(torch.tensor([1, 0])), row) for row in range(2)] == spelt[::-1]
    pair = tokenize(Items.from_tensors([("The cow", "late?")]), of_words(WORDS), 8)
    assert text_of(pair, 0) == "The cow\nlate?"
    assert text_of(Items.from_tensors([("a", "b")]), 0) == "a\nb"
    assert text_of(Items.from_tensors(torch.rand(1, 2)), 0) is None


def test_texts_beyond_what_memory_should_hold_are_spelt_by_their_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("limbeck.data.text.tokenize.MAX_TEXT_CHARACTERS", 5)
    items = tokenize(Items.from_tensors(["the   cow"]), of_words(WORDS), 8)
    assert text_of(items, 0) == "the cow"
    assert np.array_equal(items.storage.fetch(torch.tensor([0]))["attention_mask"], [[1, 1, 1, 1]])
