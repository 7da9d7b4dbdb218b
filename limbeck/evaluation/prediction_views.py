"""Predictions of all kinds (classes, numbers, texts) under one interface: how good, how confident, how different."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from limbeck.evaluation.predictions import Predictions
from limbeck.evaluation.record import Record
from limbeck.metrics import Floats

ExampleKind: TypeAlias = Literal["disagreement", "unlearned", "forgot", "gained"]

MAX_CHARACTERS = 200  # of a predicted text


class ItemPrediction(Record):
    """The prediction of one arm for one item.

    Attributes:
        label: predicted class; confidence: probability of the prediction.
        value: predicted number; text: predicted text.
        score: metric of the text, a fraction of one.
    """

    label: int | None = None
    confidence: float | None = None
    value: float | None = None
    text: str | None = None
    score: float | None = None


@dataclass(frozen=True)
class PredictionView:
    """The predictions of one arm.

    Attributes:
        choice: [seeds, items], the predictions: numbers, whose distance counts, or values that are equal or not.
        quality: [seeds, items], higher is better.
        confidence: [seeds, items]; None where there is none.
        at: the prediction of a seed and an item.
        classes: number of classes, for classifiers.
    """

    choice: NDArray[Any]
    quality: Floats
    confidence: Floats | None
    at: Callable[[int, int], ItemPrediction]
    classes: int | None = None

    def prediction(self, seed: int, item: int) -> ItemPrediction:
        """`at`, with the only row of a teacher of one seed for every seed."""
        return self.at(min(seed, len(self.choice) - 1), item)

    def disagreement(self, other: PredictionView) -> Floats:
        """How much two arms differ, [seeds, items]: 0 where they agree, and more the more confident both are."""
        if self.choice.dtype.kind == "f":
            return np.asarray(np.abs(self.choice.astype(np.float64) - other.choice))
        unsure = self.confidence is None
        gap = np.abs(self.quality - other.quality) if unsure else np.ones_like(self.quality)
        return np.asarray((self.choice != other.choice) * gap * self._joint_confidence(other))

    def advantage(self, other: PredictionView) -> Floats:
        """By how much this arm is better, [seeds, items]: 0 where it is not, and more the more confident both are."""
        gap = np.maximum(self.quality - other.quality, 0)
        return np.asarray((self.choice != other.choice) * gap * self._joint_confidence(other))

    def _joint_confidence(self, other: PredictionView) -> Floats:
        if self.confidence is None or other.confidence is None:
            return np.ones(1)
        return np.asarray(self.confidence) * np.asarray(other.confidence)


def prediction_views(predictions: Mapping[str, Predictions]) -> dict[str, PredictionView]:
    """Views by arm; arms that gave only scores have none."""
    found = {arm: view_of(own) for arm, own in predictions.items()}
    return {arm: view for arm, view in found.items() if view is not None}


def view_of(predictions: Predictions) -> PredictionView | None:
    if predictions.classes is not None:
        return _of_classes(predictions)
    if predictions.values is not None:
        return _of_numbers(predictions)
    return None if predictions.as_texts() is None else _of_texts(predictions)


def example_weights(views: Mapping[str, PredictionView]) -> list[tuple[ExampleKind, Floats]]:
    """The weight [seeds, items] of each item as an example, by kind; 0: it is none."""
    student, teacher, control = views["student"], views.get("teacher"), views.get("control")
    found: list[tuple[ExampleKind, Floats]] = []
    if teacher is not None and teacher.classes == student.classes:
        found.append(("disagreement", student.disagreement(teacher)))
    if (initial := views.get("initial")) is not None:
        found.append(("unlearned", initial.advantage(student)))
    if control is not None:
        found += [("forgot", control.advantage(student)), ("gained", student.advantage(control))]
    return found


def _of_classes(predictions: Predictions) -> PredictionView:
    choice, confidence = predictions.choice(), predictions.confidence()

    def at(seed: int, item: int) -> ItemPrediction:
        return ItemPrediction(label=int(choice[seed, item]), confidence=round(float(confidence[seed, item]), 4))

    return PredictionView(choice, predictions.correct().astype(np.float64), confidence, at, predictions.classes)


def _of_numbers(predictions: Predictions) -> PredictionView:
    values, truths = np.asarray(predictions.values), np.asarray(predictions.truths)

    def at(seed: int, item: int) -> ItemPrediction:
        return ItemPrediction(value=float(values[seed, item]))

    return PredictionView(values, -np.abs(values.astype(np.float64) - truths), None, at)


def _of_texts(predictions: Predictions) -> PredictionView:
    texts, scores = predictions.as_texts(), predictions.item_scores()
    assert texts is not None

    def at(seed: int, item: int) -> ItemPrediction:
        text = texts.text(seed, item)
        return ItemPrediction(
            text=text if len(text) <= MAX_CHARACTERS else text[: MAX_CHARACTERS - 1] + "…",
            confidence=None if texts.confidence is None else round(float(texts.confidence[seed, item]), 4),
            score=round(float(scores[seed, item]), 4),
        )

    return PredictionView(texts.choice, scores, texts.confidence, at)
