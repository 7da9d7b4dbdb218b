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


class Answer(Record):
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
class Voice:
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
    say: Callable[[int, int], Answer]
    classes: int | None = None

    def answer(self, place: int, row: int) -> Answer:
        return self.say(min(place, len(self.choice) - 1), row)  # one teacher stands beside every seed

    def apart(self, other: Voice) -> Floats:
        """How much the two disagree, 0 where they say the same: the more, the surer both are of it."""
        if self.choice.dtype.kind == "f":
            return np.asarray(np.abs(self.choice.astype(np.float64) - other.choice))
        gap = np.abs(self.good - other.good) if self.sure is None else np.ones_like(self.good)
        return np.asarray((self.choice != other.choice) * gap * self._both_sure(other))

    def better(self, other: Voice) -> Floats:
        """By how much the other is worse, 0 where it is not or says the same: the more, the surer both are."""
        gap = np.maximum(self.good - other.good, 0)
        return np.asarray((self.choice != other.choice) * gap * self._both_sure(other))

    def _both_sure(self, other: Voice) -> Floats:
        alone = self.sure is None or other.sure is None
        return np.ones(1) if alone else np.asarray(self.sure) * np.asarray(other.sure)


def voices(predictions: Mapping[str, Predictions]) -> dict[str, Voice]:
    """By arm; those that gave scores alone have none."""
    found = {arm: voice_of(answers) for arm, answers in predictions.items()}
    return {arm: voice for arm, voice in found.items() if voice is not None}


def voice_of(answers: Predictions) -> Voice | None:
    if answers.logits is not None:
        return _of_classes(answers)
    if answers.values is not None:
        return _of_numbers(answers)
    return None if answers.told is None else _of_words(answers)


def candidates(voices: Mapping[str, Voice]) -> list[tuple[Kind, Floats]]:
    """For each kind, how much [seeds, items] are of it."""
    student, teacher, alone = voices["student"], voices.get("teacher"), voices.get("alone")
    found: list[tuple[Kind, Floats]] = []
    if teacher is not None and teacher.classes == student.classes:
        found.append(("disagreement", student.apart(teacher)))
    if alone is not None:
        found += [("forgot", alone.better(student)), ("gained", student.better(alone))]
    return found


def _of_classes(answers: Predictions) -> Voice:
    assert answers.logits is not None
    choice, sure = answers.logits.argmax(-1), softmax(answers.logits).max(-1)

    def say(seed: int, row: int) -> Answer:
        return Answer(label=int(choice[seed, row]), confidence=round(float(sure[seed, row]), 4))

    return Voice(choice, answers.right().astype(np.float64), sure, say, answers.logits.shape[-1])


def _of_numbers(answers: Predictions) -> Voice:
    values, truths = np.asarray(answers.values), np.asarray(answers.truths)

    def say(seed: int, row: int) -> Answer:
        return Answer(value=float(values[seed, row]))

    return Voice(values, -np.abs(values.astype(np.float64) - truths), None, say)


def _of_words(answers: Predictions) -> Voice:
    told, scores = answers.told, answers.item_scores()
    assert told is not None

    def say(seed: int, row: int) -> Answer:
        sure = None if told.sure is None else round(float(told.sure[seed, row]), 4)
        words = told.said(seed, row)
        return Answer(
            text=words if len(words) <= WORDS else words[: WORDS - 1] + "…",
            confidence=sure,
            score=round(float(scores[seed, row]), 4),
        )

    return Voice(told.choice, scores, told.sure, say)
