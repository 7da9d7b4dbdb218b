"""What arms say, whatever kind of answer it is, and which items are worth looking at for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from limbeck.data import Items
from limbeck.evaluation import Example, ItemPrediction, Predictions, choose_examples
from limbeck.evaluation.prediction_views import MAX_CHARACTERS, example_weights, prediction_views
from limbeck.evaluation.truncate import LENGTH
from limbeck.tasks.text_predictions import TextInput, TextPredictions

TEXTS = ["first <script>", "second", "third", "fourth"]


def numbers(*seeds: list[float]) -> Predictions:
    return Predictions(values=np.array(seeds, np.float32), truths=np.array([1, 2, 3, 4], np.float32))


def words(said: list[str], scores: list[float], sure: list[float] | None = None, asked: Any = None) -> Predictions:
    told = TextPredictions(
        np.array([said], object), lambda seed, unit: said[unit], None if sure is None else np.array([sure]), asked
    )
    return Predictions(scores=np.array([scores], np.float64), text_predictions=told)


def of(found: list[Example], kind: str) -> list[int]:
    return [example.item for example in found if example.kind == kind]


def test_numbers_that_lie_furthest_apart_come_first() -> None:
    arms = {"teacher": numbers([1, 2, 3, 4]), "student": numbers([1.5, 2, 0, 6]), "control": numbers([1.1, 2, -1, 9])}
    found = choose_examples(arms, Items.from_tensors(TEXTS), (0,))
    assert of(found, "disagreement") == [2, 3, 0]
    assert of(found, "forgot") == [0]
    assert of(found, "gained") == [3, 2]
    first = found[0]
    assert (first.label, first.value, first.text) == (None, 3, "third")
    assert first.predictions["student"] == ItemPrediction(value=0)
    assert first.predictions["control"] == ItemPrediction(value=-1)


def test_numbers_agree_in_how_many_seeds() -> None:
    arms = {"control": numbers([2, 2, 3, 4], [1, 2, 3, 4]), "student": numbers([1, 2, 3, 4], [2, 2, 3, 4])}
    (gained,) = choose_examples(arms, Items.from_tensors(TEXTS), (7, 9), index=0)
    assert (gained.kind, gained.item, gained.seed, gained.seeds) == ("gained", 0, 7, 1)


def test_words_that_differ_come_by_how_sure_both_are() -> None:
    arms = {
        "teacher": words(["a", "b", "c", "d"], [1, 1, 0, 1], [0.5, 0.9, 0.9, 0.9]),
        "student": words(["x", "x", "x", "d"], [0, 0.5, 0, 1], [0.9, 0.2, 0.9, 0.9]),
        "control": words(["x", "b", "c", "y"], [0, 1, 0, 0], [0.9, 0.9, 0.9, 0.9]),
    }
    found = choose_examples(arms, Items.from_tensors(TEXTS), (0,))
    assert of(found, "disagreement") == [2, 0, 1]
    assert of(found, "forgot") == [1]
    assert of(found, "gained") == [3]
    assert found[1].predictions["teacher"] == ItemPrediction(text="a", confidence=0.5, score=1)
    assert (found[1].truth, found[1].question, found[1].text) == (None, None, TEXTS[0])


def test_words_without_confidence_come_by_how_much_better_one_is() -> None:
    arms = {"teacher": words(["a", "b", "c", "d"], [1, 1, 1, 1]), "student": words(["x", "y", "z", "d"], [0.9, 0.1, 0.5, 0.2])}
    assert of(choose_examples(arms, Items.from_tensors(TEXTS), (0,)), "disagreement") == [1, 2, 0]  # the last says the same


def test_a_question_shows_what_matters_of_its_text() -> None:
    text = "nothing " * 200 + "the answer is Lyon, they say " + "nothing " * 200
    start = text.index("Lyon")
    asked = TextInput(text, "where <b>?", "Lyon", (start, start + 4))
    arms = {
        "teacher": words(["Lyon"], [1], [0.9], lambda unit: asked),
        "student": words(["z" * 999], [0], [0.9], lambda unit: asked),
    }
    (found,) = choose_examples(arms, Items.from_tensors(["not the text"]), (0,))
    assert found.span is not None
    assert found.text is not None
    assert found.text[slice(*found.span)] == "Lyon"
    assert len(found.text) <= LENGTH
    assert (found.truth, found.question) == ("Lyon", "where <b>?")
    assert len(found.predictions["student"].text or "") == MAX_CHARACTERS


def test_a_pair_shows_both_of_its_texts() -> None:
    labels = np.array([0, 1])
    right, wrong = (np.eye(2, dtype=np.float32)[row][None] for row in (labels, 1 - labels))
    pairs = Items.from_tensors([("short", "too"), ("long " * 200, "<i> " * 200)])
    found = choose_examples({"teacher": Predictions(right, labels), "student": Predictions(wrong, labels)}, pairs, (0,))
    texts = {example.item: example.text or "" for example in found}
    assert texts[0] == "short\ntoo"
    first, second = texts[1].split("\n")
    assert first.startswith("long long")
    assert second.startswith("<i> <i>")
    assert len(texts[1]) <= LENGTH + 1


def test_arms_that_gave_scores_only_say_nothing() -> None:
    scored = Predictions(scores=np.ones((1, 4)))
    assert prediction_views({"student": scored, "teacher": words(["a"] * 4, [1] * 4)}).keys() == {"teacher"}
    assert choose_examples({"student": scored}, Items.from_tensors(TEXTS), (0,)) == []


def test_kinds_are_those_of_the_arms_there_are() -> None:
    student = prediction_views({"student": numbers([1, 2, 3, 4]), "teacher": numbers([1, 2, 3, 5])})
    assert [kind for kind, _ in example_weights(student)] == ["disagreement"]


@pytest.mark.parametrize("shape", [(4, 3), (4, 1, 8, 8)])
def test_numbers_of_other_items_than_texts(shape: tuple[int, ...]) -> None:
    arms = {"teacher": numbers([1, 2, 3, 4]), "student": numbers([2, 2, 3, 4])}
    (found,) = choose_examples(arms, Items.from_tensors(torch.rand(shape)), (0,))
    assert (found.image is None) == (len(shape) == 2)
