"""Exact match and F1, against torchmetrics and by hand."""

from __future__ import annotations

import random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torchmetrics.functional.text import squad

from limbeck.tasks.question_answering.squad_metrics import exact_match, f1, normalized

WORDS = [
    "the",
    "a",
    "An",
    "cat",
    "Cat",
    "cat's",
    "dogs,",
    "dogs",
    "don't",
    "re-open",
    "U.S.",
    "(x)",
    "«x»",
    "42",
    "4 2",
    "  ",
    "é",
]


@pytest.mark.parametrize(
    ("predicted", "truths", "match", "overlap"),
    [
        ("The cat", ["cat"], 1, 1),
        ("a cat!", ["dog", "the  CAT"], 1, 1),
        ("black cat", ["cat"], 0, 2 / 3),
        ("cat cat dog", ["cat dog dog"], 0, 2 / 3),
        ("cat", ["dog", "black cat", "cat of the cats"], 0, 2 / 3),
        ("", ["cat"], 0, 0),
        ("anthem", ["them"], 0, 0),  # articles are words, not letters
        ("the", ["a"], 1, 0),  # equal, for nothing is left of either; but no word is common
    ],
)
def test_by_hand(predicted: str, truths: list[str], match: float, overlap: float) -> None:
    assert exact_match(predicted, truths) == match
    assert f1(predicted, truths) == pytest.approx(overlap)


def test_as_torchmetrics_has_it() -> None:
    draw = random.Random(0)

    def answer() -> str:
        return " ".join(draw.choices(WORDS, k=draw.randint(1, 6)))

    compared = 0
    for number in range(300):
        predicted, truths = answer(), [answer() for _ in range(draw.randint(1, 3))]
        if not normalized(predicted) and not all(map(normalized, truths)):
            continue  # both empty: torchmetrics follows v2.0 there, which has questions without an answer
        target = {"answers": {"answer_start": [0] * len(truths), "text": truths}, "id": str(number)}
        expected = squad({"prediction_text": predicted, "id": str(number)}, target)
        assert 100 * exact_match(predicted, truths) == pytest.approx(float(expected["exact_match"]))
        assert 100 * f1(predicted, truths) == pytest.approx(float(expected["f1"]), abs=1e-4)
        compared += 1
    assert compared > 250


PIECES = st.sampled_from(
    [*WORDS, "THE", "aN", "İ", "ß", "’s", "…", "¿", "\u00a0", "\u2009", "e\u0301", "日本", "½", "-a-", "a.n", "\n", "_"]
)


@given(
    predicted=st.lists(PIECES | st.text(max_size=4), max_size=6),
    truths=st.lists(st.lists(PIECES | st.text(max_size=4), max_size=6), min_size=1, max_size=3),
    glue=st.sampled_from(["", " "]),
)
@settings(max_examples=200, deadline=None)
def test_as_torchmetrics_has_it_in_any_script(predicted: list[str], truths: list[list[str]], glue: str) -> None:
    answer, known = glue.join(predicted), [glue.join(truth) for truth in truths]
    assume(normalized(answer) or all(map(normalized, known)))
    expected = squad(
        {"prediction_text": answer, "id": "0"}, {"answers": {"answer_start": [0] * len(known), "text": known}, "id": "0"}
    )
    assert 100 * exact_match(answer, known) == pytest.approx(float(expected["exact_match"]))
    assert 100 * f1(answer, known) == pytest.approx(float(expected["f1"]), abs=1e-4)


@pytest.mark.parametrize("truths", [[], "cat"])
def test_questions_without_true_answers_are_not_judged(truths: list[str] | str) -> None:
    for score in (exact_match, f1):
        with pytest.raises(ValueError, match="expected a list of at least one true answer"):
            score("cat", truths)
