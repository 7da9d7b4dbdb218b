"""The task of question answering: confidences and answers of questions over all their windows."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from limbeck.data import Items, Questions, WindowStorage, tokenize_questions
from limbeck.tasks import QuestionAnswering
from limbeck.tasks.question_answering.task import span_log_normalizers
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
                    total[int(storage.question_rows[window])][end] += math.exp(float(logits[window, end, place]))
    expected = [math.log(start) + math.log(end) for start, end in total]
    assert span_log_normalizers(logits, storage).tolist() == pytest.approx(expected)


def test_answers_are_told_by_question_with_their_context(asked: Items) -> None:
    task = QuestionAnswering()
    logits = torch.full((len(asked), 2, int(asked.storage.lengths.max())), -20.0)
    assert asked.target is not None
    for window, (first, last) in enumerate(asked.target.tolist()):
        if first > 0:
            logits[window, 0, first] = logits[window, 1, last] = 20.0
    found = task.to_predictions([logits, random_logits(asked, 1)], asked)
    texts = found["text_predictions"]
    assert texts.choice.shape == found["scores"].shape == (2, 2)  # the third question has no answer
    assert [texts.text(0, unit) for unit in (0, 1)] == ["the barn", "field"]
    assert texts.choice[0].tolist() == ["barn", "field"]
    assert texts.confidence[0] == pytest.approx([1, 1])
    assert ((texts.confidence[1] > 0) & (texts.confidence[1] < 1)).all()
    shown = texts.input(1)
    assert (shown.question, shown.truth) == ("where is the owl", "field")
    assert shown.text[slice(*shown.span)] == "field"
