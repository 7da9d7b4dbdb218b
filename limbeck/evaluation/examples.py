"""What stands behind the numbers of a verdict: how sure the arms were, which answers changed hands, and items to look at.

All of it comes from what the arms answered on the test set, and goes into `verdict.json`, so that a page can be made of the
file alone.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from limbeck.data import Items
from limbeck.evaluation.model_cost import ConfidenceBins, confidence_bins, softmax
from limbeck.evaluation.prediction_views import ItemPrediction, Kind, example_weights, views
from limbeck.evaluation.predictions import Predictions
from limbeck.evaluation.record import Record
from limbeck.evaluation.truncate import truncate, truncate_around
from limbeck.metrics.measures import Floats
from limbeck.tasks.text_predictions import text_of

PER_KIND = 8
IMAGE_BUDGET = 5_700  # bytes of one PNG: with base64, 24 of them stay under 200 kB
_SIDES = (96, 72, 48, 32)


class Bin(Record):
    """Answers of about the same confidence: their mean confidence, how many of them were right, and how many there were."""

    confidence: float
    accuracy: float
    count: int


class Quadrants(Record):
    """Answers of the student and of one other arm to the same items, summed over seeds.

    `both_wrong` holds those that were wrong in the same way and those that were not.
    """

    both_right: int
    student_only: int
    other_only: int
    both_wrong: int

    @property
    def total(self) -> int:
        return self.both_right + self.student_only + self.other_only + self.both_wrong


class Example(Record):
    """One test item to look at.

    Attributes:
        kind: `disagreement` (student and teacher answer differently), `forgot` (right in the control, wrong in the student; of
            answers that are better or worse: better in the control) or `gained` (the other way round).
        item: row of the test set; of questions, the number of the question among those with an answer.
        seed, seeds: whose answers these are, and in how many seeds it is so.
        label: the true class; value: the true number; truth: the true answer in words.
        image: a PNG as a data URI; text: the input, where it is one, or what matters of it; input: what else it is, in words.
        question: what was asked about the text; where: the characters of the text that hold the true answer, from where to
            before where.
    """

    kind: Kind
    item: int
    seed: int
    seeds: int
    label: int | None = None
    answers: dict[str, ItemPrediction]
    image: str | None = Field(default=None, pattern=r"^data:image/png;base64,[A-Za-z0-9+/]+=*$")
    text: str | None = None
    input: str | None = None
    value: float | None = None
    truth: str | None = None
    question: str | None = None
    where: tuple[int, int] | None = None


def calibration(predictions: Mapping[str, Predictions]) -> dict[str, list[Bin]]:
    """By arm, the bins of the expected calibration error, over all seeds together; empty bins are left out."""
    return {arm: _bins(found.logits, found.labels) for arm, found in predictions.items() if found.logits is not None}


def _bins(logits: NDArray[np.float32], labels: NDArray[np.int64] | None) -> list[Bin]:
    assert labels is not None
    found: ConfidenceBins = confidence_bins(softmax(logits).reshape(-1, logits.shape[2]), np.tile(labels, len(logits)))
    columns = zip(found.confidence, found.right, found.items, strict=True)
    return [Bin(confidence=sure / n, accuracy=right / n, count=int(n)) for sure, right, n in columns if n]


def changes(predictions: Mapping[str, Predictions]) -> dict[str, Quadrants]:
    """The student beside the teacher and beside the control: who was right where the other was wrong."""
    answered = {arm: found.right() for arm, found in predictions.items() if found.logits is not None}
    student = answered.pop("student", None)
    return {} if student is None else {arm: _quadrants(student, other) for arm, other in answered.items()}


def _quadrants(student: NDArray[np.bool_], other: NDArray[np.bool_]) -> Quadrants:
    other = np.broadcast_to(other, student.shape)  # one teacher beside every seed
    return Quadrants(
        both_right=int((student & other).sum()),
        student_only=int((student & ~other).sum()),
        other_only=int((~student & other).sum()),
        both_wrong=int((~student & ~other).sum()),
    )


def examples(predictions: Mapping[str, Predictions], items: Items, seeds: tuple[int, ...], place: int = 0) -> list[Example]:
    """At most 24 items worth looking at: up to eight disagreements with the teacher, eight that the student forgot, and eight
    that it gained over the control.

    Items count for more the surer both arms were, or else the further apart their answers are, and the more seeds agree on
    them; every class has its first one shown before any has its second. The choice is a function of the answers alone.

    Args:
        items: the test items, in the order of the predictions.
        seeds: of the rows of the student's predictions; `place`: the row of the student that is shipped.
    """
    speaking = views(predictions)
    if "student" not in speaking:
        return []
    own = predictions["student"]
    labels = np.zeros(speaking["student"].choice.shape[1], np.int64) if own.labels is None else own.labels
    chosen: list[Example] = []
    for kind, weight in example_weights(speaking):
        for row in _choose(weight, labels, place):
            answers = {arm: view.answer(place, row) for arm, view in speaking.items()}
            seen = int((weight[:, row] > 0).sum())
            put = _put(own, items, row)
            chosen.append(Example(kind=kind, item=row, seed=seeds[place], seeds=seen, answers=answers, **put))
    return chosen


def _put(answers: Predictions, items: Items, row: int) -> dict[str, Any]:
    """What the arms were given, and what is true of it, as fields of `Example`."""
    if answers.text_predictions is not None and answers.text_predictions.asked is not None:
        asked = answers.text_predictions.asked(row)
        text, where = truncate_around(asked.text, asked.where or (0, 0))
        question = None if asked.question is None else truncate(asked.question)
        return {"text": text, "question": question, "truth": asked.truth, "where": asked.where and where}
    label = None if answers.labels is None else int(answers.labels[row])
    value = None if answers.truths is None else float(answers.truths[row])
    return {"label": label, "value": value} | _item(items, row)


def _choose(weight: Floats, labels: NDArray[np.int64], place: int) -> list[int]:
    """Rows of the shipped student's items that have a weight, by their mean over the seeds, each class in turn."""
    score = weight.mean(axis=0)
    rows = np.flatnonzero(weight[place] > 0)
    rows = rows[np.lexsort((rows, -score[rows]))]
    turn = np.zeros(len(rows), dtype=int)
    for label in np.unique(labels[rows]):
        own = np.flatnonzero(labels[rows] == label)
        turn[own] = np.arange(len(own))
    return [int(row) for row in rows[np.argsort(turn, kind="stable")][:PER_KIND]]


def _item(items: Items, row: int) -> dict[str, str]:
    text = text_of(items, row)
    return _shown(items.fetch(torch.tensor([row]))) if text is None else {"text": truncate(text)}


def _shown(inputs: Any) -> dict[str, str]:
    """One fetched item as something to look at: a picture, or at least what it is."""
    if isinstance(inputs, Mapping):
        return {"input": ", ".join(f"{name} {list(part[0].shape)}" for name, part in inputs.items())}
    item = inputs[0]
    if item.ndim == 3 and min(item.shape) > 0:
        return {"image": thumbnail(item)}
    return {"input": f"tensor {list(item.shape)}"}


def thumbnail(image: Tensor) -> str:
    """A picture [C, H, W] as a PNG data URI of at most 96 pixels a side and 5,700 bytes: in fewer colours, then smaller, where
    that is what it takes. Of channels that are no colours the first is shown; values that no picture has are stretched to it.
    """
    from PIL import Image

    picture = Image.fromarray(_as_bytes(image))
    for side in _SIDES:
        small = picture.copy()
        small.thumbnail((side, side))
        for shown in (small, small.quantize(64), small.quantize(16)):
            file = io.BytesIO()
            shown.save(file, "PNG", optimize=True)
            if file.tell() <= IMAGE_BUDGET:
                return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
    raise AssertionError("a picture of 32 × 32 pixels and 16 colours is small enough")


def _as_bytes(image: Tensor) -> NDArray[np.uint8]:
    """[H, W] or [H, W, 3] of uint8."""
    channels = image if image.shape[0] == 3 else image[:1]
    if channels.dtype != torch.uint8:
        values = torch.nan_to_num(channels.float())
        low, high = min(float(values.min()), 0.0), max(float(values.max()), 1.0)
        channels = ((values - low) / (high - low) * 255).round().to(torch.uint8)
    pixels: NDArray[np.uint8] = channels.permute(1, 2, 0).contiguous().numpy()
    return pixels[:, :, 0] if pixels.shape[2] == 1 else pixels
