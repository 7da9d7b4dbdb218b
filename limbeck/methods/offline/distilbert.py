"""DistilBERT, a distilled version of BERT (Sanh et al. 2019, arXiv 1910.01108)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from limbeck.core.terms import Term
from limbeck.data import Items
from limbeck.engine import Stage
from limbeck.engine import epochs as passes
from limbeck.engine.stages import terms_stage
from limbeck.methods.registration import registry
from limbeck.methods.text_students import fewer_layers, kept_layers
from limbeck.methods.training_stages import bert_adamw, weighted_terms
from limbeck.models.from_teacher import FromTeacher
from limbeck.objectives import HiddenCosine
from limbeck.tasks import Task


@registry.register("distilbert", cite=HiddenCosine.bibtex)
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
) -> tuple[FromTeacher, list[Stage]]:
    """Trains every other layer of the teacher in one stage on

    soft · T² KL(teacher‖student) + hard · labels + cosine · (1 − cos(h_s, h_t)) of the last hidden states.

    With `task: masked_language_modelling` this is the pre-training of the paper (lr 5e-4 there); with any other task it is its
    task-specific form.

    Args:
        teacher: an encoder of Transformers.
        task: of the teacher.
        layers: a number of layers, evenly spaced from the first to the last, or their indices from 0. Default: half of them.
        soft, hard, cosine: 5, 2 and 1, as in the authors' code.

    Raises:
        ValueError: more layers than the teacher has, a negative weight.
    """
    terms = weighted_terms(
        (soft, lambda: task.soft_terms(temperature)),
        (hard, task.hard_terms),
        (cosine, lambda: [Term(HiddenCosine(), student="hidden(-1)")]),
    )
    return fewer_layers(kept_layers(layers, teacher)), [
        terms_stage(terms(), passes(epochs), bert_adamw(lr), name="distillation")
    ]
