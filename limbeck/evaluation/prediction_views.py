"""What each arm says about every test item, whatever kind of answer that is: how good it is, how sure, and beside another's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from limbeck.evaluation.model_cost import softmax
from limbeck.evaluation.predictions import Predictions
from limbeck.evaluation.record import Record
from limbeck.metrics.measures import Floats

Kind: TypeAlias = Literal["disagreement", "forgot", "gained"]

WORDS = 200  # letters of an answer


class ItemPrediction(Record):
    """What an arm answered to one item.

    Attributes:
        label: the class it chose; confidence: the probability that it gave to its answer; both where there is such a thing.
        value: the number it predicted; text: what it said in words.
        score: of these words, by the metric: a fraction of one.
    """

    label: int | None = None
    confidence: float | None = None
    value: float | None = None
    text: str | None = None
    score: float | None = None


@dataclass(frozen=True)
class PredictionView:
    """One arm.

    Attributes:
        choice: [seeds, items], what was answered; numbers differ by how far apart they are, all else does or does not.
        good: [seeds, items], more is better; sure: [seeds, items], None where nothing tells.
        classes: among which it chooses, where it does.
        say: seed and item → the answer.
    """

    choice: NDArray[Any]
    good: Floats
    sure: Floats | None
    say: Callable[[int, int], ItemPrediction]
    classes: int | None = None

    def answer(self, place: int, row: int) -> ItemPrediction:
        return self.say(min(place, len(self.choice) - 1), row)  # one teacher stands beside every seed

    def apart(self, other: PredictionView) -> Floats:
        """How much the two disagree, 0 where they say the same: the more, the surer both are of it."""
        if self.choice.dtype.kind == "f":
            return np.asarray(np.abs(self.choice.astype(np.float64) - other.choice))
        gap = np.abs(self.good - other.good) if self.sure is None else np.ones_like(self.good)
        return np.asarray((self.choice != other.choice) * gap * self._both_sure(other))

    def better(self, other: PredictionView) -> Floats:
        """By how much the other is worse, 0 where it is not or says the same: the more, the surer both are."""
        gap = np.maximum(self.good - other.good, 0)
        return np.asarray((self.choice != other.choice) * gap * self._both_sure(other))

    def _both_sure(self, other: PredictionView) -> Floats:
        alone = self.sure is None or other.sure is None
        return np.ones(1) if alone else np.asarray(self.sure) * np.asarray(other.sure)


def views(predictions: Mapping[str, Predictions]) -> dict[str, PredictionView]:
    """By arm; those that gave scores alone have none."""
    found = {arm: view_of(answers) for arm, answers in predictions.items()}
    return {arm: view for arm, view in found.items() if view is not None}


def view_of(answers: Predictions) -> PredictionView | None:
    if answers.logits is not None:
        return _of_classes(answers)
    if answers.values is not None:
        return _of_numbers(answers)
    return None if answers.text_predictions is None else _of_words(answers)


def example_weights(views: Mapping[str, PredictionView]) -> list[tuple[Kind, Floats]]:
    """For each kind, how much [seeds, items] are of it."""
    student, teacher, control = views["student"], views.get("teacher"), views.get("control")
    found: list[tuple[Kind, Floats]] = []
    if teacher is not None and teacher.classes == student.classes:
        found.append(("disagreement", student.apart(teacher)))
    if control is not None:
        found += [("forgot", control.better(student)), ("gained", student.better(control))]
    return found


def _of_classes(answers: Predictions) -> PredictionView:
    assert answers.logits is not None
    choice, sure = answers.logits.argmax(-1), softmax(answers.logits).max(-1)

    def say(seed: int, row: int) -> ItemPrediction:
        return ItemPrediction(label=int(choice[seed, row]), confidence=round(float(sure[seed, row]), 4))

    return PredictionView(choice, answers.right().astype(np.float64), sure, say, answers.logits.shape[-1])


def _of_numbers(answers: Predictions) -> PredictionView:
    values, truths = np.asarray(answers.values), np.asarray(answers.truths)

    def say(seed: int, row: int) -> ItemPrediction:
        return ItemPrediction(value=float(values[seed, row]))

    return PredictionView(values, -np.abs(values.astype(np.float64) - truths), None, say)


def _of_words(answers: Predictions) -> PredictionView:
    told, scores = answers.text_predictions, answers.item_scores()
    assert told is not None

    def say(seed: int, row: int) -> ItemPrediction:
        sure = None if told.sure is None else round(float(told.sure[seed, row]), 4)
        words = told.said(seed, row)
        return ItemPrediction(
            text=words if len(words) <= WORDS else words[: WORDS - 1] + "…",
            confidence=sure,
            score=round(float(scores[seed, row]), 4),
        )

    return PredictionView(told.choice, scores, told.sure, say)
