"""Chooses test items on which the arms of a run differ, for `verdict.json` and the report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from limbeck.data import Items
from limbeck.evaluation.arms import ARMS, INITIAL, STUDENT, arms_by_result, of_result
from limbeck.evaluation.prediction_views import ExampleKind, ItemPrediction, example_weights, prediction_views
from limbeck.evaluation.predictions import Predictions
from limbeck.evaluation.record import Record
from limbeck.evaluation.thumbnail import thumbnail
from limbeck.evaluation.truncate import truncate, truncate_around
from limbeck.metrics import Floats
from limbeck.tasks.text_predictions import text_of

PER_KIND = 8


class Example(Record):
    """One test item, with what it is, its label and the predictions of all arms.

    Attributes:
        kind: `disagreement` (student and teacher differ), `unlearned` (right before the student's training, wrong after
            it), `forgot` (right in the control, wrong in the student) or `gained` (the other way round); for predictions with
            a score: better instead of right.
        item: row of the test set; for questions, the index among those with an answer.
        seed, seeds: the seed of these predictions, and the number of seeds in which the same holds.
        label: true class; value: true number; truth: true answer as text.
        predictions: by arm.
        image: a PNG as a data URI; text: the input, or the part that matters; input: a description of any other input.
        question: asked about the text; span: start and end of the characters of `text` that hold the true answer.
    """

    kind: ExampleKind
    item: int
    seed: int
    seeds: int
    label: int | None = None
    predictions: dict[str, ItemPrediction]
    image: str | None = Field(default=None, pattern=r"^data:image/png;base64,[A-Za-z0-9+/]+=*$")
    text: str | None = None
    input: str | None = None
    value: float | None = None
    truth: str | None = None
    question: str | None = None
    span: tuple[int, int] | None = None


def choose_examples(
    predictions: Mapping[str, Predictions], items: Items, seeds: tuple[int, ...], index: int = 0, result: str | None = None
) -> list[Example]:
    """Up to eight items of each kind: disagreements with the teacher, what the student unlearned since its training began,
    what it forgot and what it gained compared with the control.

    Items are ranked by the confidence of both arms, or else by the distance of their predictions, averaged over the seeds.
    Classes take turns: each has its first item before any has a second. The choice is a function of the predictions alone.

    Args:
        predictions: by arm, as for a verdict; further controls have no part in the examples.
        items: the test items, in the order of the predictions.
        seeds: of the rows of the student's predictions.
        index: the row of the student that is saved.
        result: whose examples; None: of the first.
    """
    own = of_result(predictions, next(iter(arms_by_result(predictions))) if result is None else result)
    views = prediction_views({arm: found for arm, found in own.items() if arm in (*ARMS, INITIAL)})
    if STUDENT not in views:
        return []
    student = own[STUDENT]
    labels = np.zeros(views[STUDENT].choice.shape[1], np.int64) if student.labels is None else student.labels
    chosen: list[Example] = []
    for kind, weight in example_weights(views):
        for row in _choose(weight, labels, index):
            chosen.append(
                Example(
                    kind=kind,
                    item=row,
                    seed=seeds[index],
                    seeds=int((weight[:, row] > 0).sum()),
                    predictions={arm: view.prediction(index, row) for arm, view in views.items()},
                    **_input(student, items, row),
                )
            )
    return chosen


def _input(predictions: Predictions, items: Items, row: int) -> dict[str, Any]:
    """Input and label of an item, as fields of `Example`."""
    texts = predictions.as_texts()
    if texts is not None and texts.input is not None:
        shown = texts.input(row)
        text, span = truncate_around(shown.text, shown.span or (0, 0))
        question = None if shown.question is None else truncate(shown.question)
        return {"text": text, "question": question, "truth": shown.truth, "span": shown.span and span}
    label = None if predictions.labels is None else int(predictions.labels[row])
    value = None if predictions.truths is None else float(predictions.truths[row])
    truth = None if texts is None or texts.truth is None else texts.truth(row)
    return {"label": label, "value": value, "truth": truth} | _item(items, row)


def _choose(weight: Floats, labels: NDArray[np.int64], index: int) -> list[int]:
    """Rows with a weight in the saved student, by their mean weight over the seeds, classes in turn."""
    score = weight.mean(axis=0)
    rows = np.flatnonzero(weight[index] > 0)
    rows = rows[np.lexsort((rows, -score[rows]))]
    turn = np.zeros(len(rows), dtype=int)
    for label in np.unique(labels[rows]):
        own = np.flatnonzero(labels[rows] == label)
        turn[own] = np.arange(len(own))
    return [int(row) for row in rows[np.argsort(turn, kind="stable")][:PER_KIND]]


def _item(items: Items, row: int) -> dict[str, str]:
    text = text_of(items, row)
    return _described(items.fetch(torch.tensor([row]))) if text is None else {"text": truncate(text)}


def _described(inputs: Any) -> dict[str, str]:
    """One fetched item as a picture, or its type and shape."""
    if isinstance(inputs, Mapping):
        return {"input": ", ".join(f"{name} {list(part[0].shape)}" for name, part in inputs.items())}
    item = inputs[0]
    if item.ndim == 3 and min(item.shape) > 0:
        return {"image": thumbnail(item)}
    return {"input": f"tensor {list(item.shape)}"}
