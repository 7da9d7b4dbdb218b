"""Contrastive transfer between modalities: a student's embedding has to find the teacher's of the same thing."""

from __future__ import annotations

from limbeck.core.terms import Term
from limbeck.methods.cross_modal.layers import check_layers
from limbeck.methods.registration import registry
from limbeck.methods.teacher_terms import label_terms, require_teacher, soft_terms
from limbeck.objectives import Contrastive, InfoNCE, RKDCosine
from limbeck.tasks import Task


@registry.register("contrastive_transfer", cite=Contrastive.bibtex)
def contrastive_transfer(
    *,
    task: Task,
    temperature: float = 0.07,
    weight: float = 1.0,
    negatives: int | None = None,
    layer: str | None = None,
    teacher_layer: str | None = None,
    soft: float = 0.0,
    within: float = 0.0,
    labels: float = 0.0,
) -> list[Term]:
    """Trains a student of one modality to tell which of a teacher's embeddings, of another modality, is of the same item:

    weight · −½ [log e^{s_i·t_i/τ} / Σ_j e^{s_i·t_j/τ} + log e^{s_i·t_i/τ} / Σ_j e^{s_j·t_i/τ}] + soft · (loss on outputs) +
    within · (relations of the student's embeddings) + labels · CE, s and t L2-normalised.

    The negatives are the other items of the batch, as in CLIP (arXiv 2103.00020) with one side frozen, so that the student is
    placed in the teacher's space. With `negatives` they are drawn from a memory of all training items, after a projection of
    both sides, as in CRD (arXiv 1910.10699): for features, not for embeddings that are to be compared with the teacher's.

    Args:
        temperature: τ of the cosines.
        weight: of the contrastive term.
        negatives: of each item, from memory; None: the batch.
        layer, teacher_layer: the taps whose signals are compared, such as `input(linear)`; None: the outputs.
        soft: weight of the task's loss on outputs: T² KL with T = 2 for classes, 1 − cos for embeddings.
        within: weight of `rkd_cosine`.
        labels: weight of the labels of items that have one.

    Raises:
        ValueError: a weight out of range; a temperature that is not positive; negatives below 1; a layer of the teacher alone.
    """
    require_teacher("contrastive_transfer", "weight", weight)
    check_layers("contrastive_transfer", layer, teacher_layer)
    if within < 0:
        raise ValueError(f"contrastive_transfer: within is {within:g}; expected a weight of 0 or more")
    kind = InfoNCE(temperature=temperature) if negatives is None else Contrastive(temperature=temperature, negatives=negatives)
    student = layer or "student"
    terms = [*label_terms(task, labels), *soft_terms(task, 2.0, soft)]
    terms.append(Term(kind, student=student, teacher=teacher_layer, weight=weight))
    if within > 0:
        terms.append(Term(RKDCosine(), student=student, teacher=teacher_layer, weight=within, name="within"))
    return terms
