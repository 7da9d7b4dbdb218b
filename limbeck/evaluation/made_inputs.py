"""Inputs that a run has made without data, for verdict and report: some of each class, with the nearest real items."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pydantic import Field
from torch import Tensor

from limbeck.evaluation.record import Record
from limbeck.evaluation.thumbnail import thumbnail

PER_CLASS = 4
MOST = 40  # pictures of a verdict
DATA_URI = r"^data:image/png;base64,[A-Za-z0-9+/]+=*$"


class MadeInput(Record):
    """One made input.

    Attributes:
        label: the teacher's class; confidence: its probability.
        image: a PNG as a data URI.
        nearest: the training image with the smallest difference; None if the run has no training data.
        difference: from it, the root mean square over pixels, whose values are from 0 to 1.
        typical: the same difference of that training image from the nearest other one: of real images, what is usual.
    """

    label: int
    confidence: float
    image: str = Field(pattern=DATA_URI)
    nearest: str | None = Field(default=None, pattern=DATA_URI)
    difference: float | None = None
    typical: float | None = None


def choose_made_inputs(inputs: Tensor, logits: Tensor, real: Tensor | None = None) -> list[MadeInput]:
    """Returns some made images of each class, those first of which the teacher is surest.

    Args:
        inputs: images [N, C, H, W] in [0, 1]; others give none.
        logits: of the teacher, [N, classes].
        real: training images, of the same shape.
    """
    if inputs.ndim != 4 or logits.ndim != 2:
        return []
    probabilities = logits.float().softmax(-1)
    confidence, labels = probabilities.max(-1)
    per_class = max(1, min(PER_CLASS, MOST // logits.shape[1]))
    rows: list[int] = []
    for label in range(logits.shape[1]):
        own = (labels == label).nonzero().flatten()
        rows += own[confidence[own].argsort(descending=True)][:per_class].tolist()
    rows = rows[:MOST]
    near = _nearest(inputs[rows], real) if real is not None and real.shape[1:] == inputs.shape[1:] and len(real) > 1 else None
    return [_made(inputs, labels, confidence, real, row, None if near is None else near[at]) for at, row in enumerate(rows)]


def _made(
    inputs: Tensor, labels: Tensor, confidence: Tensor, real: Tensor | None, row: int, near: tuple[int, float, float] | None
) -> MadeInput:
    made = MadeInput(label=int(labels[row]), confidence=float(confidence[row]), image=thumbnail(inputs[row]))
    if near is None or real is None:
        return made
    found = {"nearest": thumbnail(real[near[0]]), "difference": near[1], "typical": near[2]}
    return made.model_copy(update=found)


def _nearest(inputs: Tensor, real: Tensor) -> Sequence[tuple[int, float, float]]:
    """Row, difference and typical difference of the nearest real item of each input."""
    flat, given = real.float().flatten(1), inputs.float().flatten(1)
    scale = flat.shape[1] ** 0.5
    differences, rows = torch.cdist(given, flat).min(1)
    among = torch.cdist(flat[rows], flat)
    among[torch.arange(len(rows)), rows] = torch.inf
    typical = among.min(1).values
    return list(zip(rows.tolist(), (differences / scale).tolist(), (typical / scale).tolist(), strict=True))
