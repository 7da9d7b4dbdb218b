"""DistilBERT, a distilled version of BERT (Sanh et al. 2019, arXiv 1910.01108)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from limbeck.core.terms import Term
from limbeck.data import Items
from limbeck.engine import epochs as passes
from limbeck.engine.training import Phase
from limbeck.methods.building_blocks import adamw, fewer_layers, spread, weighed
from limbeck.models.from_teacher import FromTeacher
from limbeck.objectives import HiddenCosine
from limbeck.tasks import Task


def distilbert(
    teacher: nn.Module,
    *,
    task: Task,
    items: Items | None = None,
    layers: int | Sequence[int] | None = None,
    temperature: float = 2.0,
    soft: float = 5.0,
    hard: float = 2.0,
    cosine: float = 1.0,
    epochs: float = 3.0,
    lr: float = 5e-5,
) -> tuple[FromTeacher, list[Phase]]:
    """The teacher with every other layer left out, trained in one stage on

    soft · T² KL(teacher‖student) + hard · labels + cosine · (1 − cos(h_s, h_t)) of the last hidden states.

    With `task: masked_language_modelling` this is the paper's pre-training (lr 5e-4 there); with any other task, its
    task-specific form.

    Args:
        teacher: an encoder of Transformers.
        task: what it answers.
        layers: a number of layers, evenly spaced from the first to the last, or which ones, from 0. Default: half of them.
        soft, hard, cosine: 5, 2 and 1, as the authors ran it.

    Raises:
        ValueError: more layers than the teacher has, a negative weight.
    """
    terms = weighed(
        (soft, lambda: task.soft_terms(temperature)),
        (hard, task.hard_terms),
        (cosine, lambda: [Term(HiddenCosine(), student="hidden(-1)")]),
    )
    return fewer_layers(spread(layers, teacher)), [Phase(terms, passes(epochs), adamw(lr), name="distillation")]
