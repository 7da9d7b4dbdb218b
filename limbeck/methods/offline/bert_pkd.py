"""Patient knowledge distillation for BERT (Sun et al. 2019, arXiv 1908.09355)."""

from __future__ import annotations

from typing import Literal

from torch import nn

from limbeck.core.terms import Term
from limbeck.data import Items
from limbeck.engine import Stage
from limbeck.engine import epochs as passes
from limbeck.engine.stages import terms_stage
from limbeck.methods.registration import registry
from limbeck.methods.text_students import fewer_layers, layer_count
from limbeck.methods.training_stages import bert_adamw, weighted_terms
from limbeck.models.from_teacher import FromTeacher
from limbeck.models.shrink import layer_map
from limbeck.objectives import EmbeddingCosine
from limbeck.tasks import Task

BIBTEX = """
    @inproceedings{sun2019patient,
        title = {Patient Knowledge Distillation for {BERT} Model Compression},
        author = {Sun, Siqi and Cheng, Yu and Gan, Zhe and Liu, Jingjing},
        booktitle = {Proceedings of EMNLP-IJCNLP},
        year = {2019},
        eprint = {1908.09355},
        archiveprefix = {arXiv},
    }
"""


@registry.register("bert_pkd", cite=BIBTEX)
def bert_pkd(
    teacher: nn.Module,
    *,
    task: Task,
    items: Items | None = None,
    layers: int | None = None,
    how: Literal["skip", "last"] = "skip",
    temperature: float = 10.0,
    alpha: float = 0.5,
    beta: float = 100.0,
    epochs: float = 4.0,
    lr: float = 5e-5,
) -> tuple[FromTeacher, list[Stage]]:
    """Trains the teacher's first layers on its outputs and on the hidden states of its first token:

    (1 − α) · labels + α · T² KL(teacher‖student) + β · Σ_j ‖h_s/‖h_s‖ − h_t/‖h_t‖‖², j over the mapped layers.

    Args:
        teacher: an encoder of Transformers.
        task: of the teacher.
        layers: of the student. Default: half of the teacher's.
        how: "skip": layer m of the student learns from every ⌊N/M⌋-th of the teacher; "last": from its last layers but one.
        alpha, beta, temperature: the middle of what the paper searches: α 0.2 to 0.7, β 10 to 1,000, T 5 to 20.

    Raises:
        ValueError: more layers than the teacher has, a student of a single layer, weights out of range.
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"bert_pkd: alpha is {alpha}; expected a number from 0 to 1")
    count = layer_count(teacher)
    ours = max(2, count // 2) if layers is None else layers
    if not 2 <= ours <= count:
        raise ValueError(f"bert_pkd: layers is {ours}; expected 2 to {count}, as many as the teacher has at most")
    pairs = layer_map(ours, count, how) if how == "skip" else layer_map(ours - 1, count - 1, how)

    def patience() -> list[Term]:
        # the squared distance of two unit vectors is 2 (1 − cos)
        return [Term(EmbeddingCosine(), f"cls({m})", f"cls({n})", weight=2.0, name=f"patience.{m}") for m, n in pairs]

    terms = weighted_terms((1 - alpha, task.hard_terms), (alpha, lambda: task.soft_terms(temperature)), (beta, patience))
    return fewer_layers(range(ours)), [terms_stage(terms(), passes(epochs), bert_adamw(lr), name="patience")]
