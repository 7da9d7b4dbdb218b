"""Cross-modal distillation of relations, within a modality and across two."""

from __future__ import annotations

from limbeck.core.terms import Term
from limbeck.methods.cross_modal.layers import check_layers
from limbeck.methods.registration import registry
from limbeck.methods.teacher_terms import label_terms, soft_terms
from limbeck.objectives import CrossSimilarity, RKDCosine
from limbeck.tasks import Task


@registry.register("cmkd", cite=CrossSimilarity.bibtex)
def cmkd(
    *,
    task: Task,
    temperature: float = 2.0,
    soft: float = 1.0,
    within: float = 25.0,
    across: float = 25.0,
    affinity: float | None = None,
    layer: str | None = None,
    teacher_layer: str | None = None,
    labels: float = 0.0,
) -> list[Term]:
    """Trains a student of one modality on outputs and on similarities between items that a teacher of another sees:

    soft · (loss on outputs) + within · mean_ij h(cos(s_i, s_j) − cos(t_i, t_j)) + across · mean_ij (cos(s_i, t_j) − cos(t_i,
    t_j))² + labels · CE, h Huber.

    The similarities within the student's modality shape its space, whatever its width; those across place its items among the
    teacher's. They are compared in the teacher's width: a linear projection that is dropped at the end makes widths equal, and
    students of the same width need none.

    Args:
        temperature: T of soft targets; a task of embeddings compares directions, which have none.
        soft: weight of the task's loss on outputs.
        within: weight of the relations within the student's modality (RKD's cosine form, arXiv 1904.05068).
        across: weight of the relations across modalities, see the objective `cross_similarity`.
        affinity: a temperature with which relations across are compared as distributions (arXiv 2309.12314); None: squared
            differences.
        layer, teacher_layer: the taps whose signals are compared, vectors [B, D], such as `input(linear)`; None: the outputs.
        labels: weight of the labels of items that have one.

    Raises:
        ValueError: a negative weight; no weight above 0 of what the teacher gives; an affinity that is not above 0; a layer
            of the teacher alone.
    """
    check_layers("cmkd", layer, teacher_layer)
    if min(soft, within, across) < 0 or soft + within + across == 0:
        raise ValueError(
            f"cmkd: soft is {soft:g}, within {within:g} and across {across:g}; expected weights of 0 or more, and one above 0"
        )
    if affinity is not None and affinity <= 0:
        raise ValueError(f"cmkd: affinity is {affinity:g}; expected a temperature above 0, or None for squared differences")
    student = layer or "student"
    terms = [*label_terms(task, labels), *soft_terms(task, temperature, soft)]
    if within > 0:
        terms.append(Term(RKDCosine(), student=student, teacher=teacher_layer, weight=within, name="within"))
    if across > 0:
        objective = CrossSimilarity(temperature=affinity)
        terms.append(Term(objective, student=student, teacher=teacher_layer, weight=across, name="across"))
    return terms
