"""Supervision transfer between modalities (Gupta, Hoffman, Malik 2016, arXiv 1507.00448)."""

from __future__ import annotations

from limbeck.core.terms import Term
from limbeck.engine import Length, Stage, Update
from limbeck.engine import epochs as passes
from limbeck.methods.cross_modal.layers import check_layers
from limbeck.methods.registration import DistillationArguments, registry
from limbeck.methods.teacher_terms import label_terms, soft_terms
from limbeck.objectives import Hint
from limbeck.tasks import Task

BIBTEX = """
    @inproceedings{gupta2016cross,
        title = {Cross Modal Distillation for Supervision Transfer},
        author = {Gupta, Saurabh and Hoffman, Judy and Malik, Jitendra},
        booktitle = {Conference on Computer Vision and Pattern Recognition},
        year = {2016},
        eprint = {1507.00448},
        archiveprefix = {arXiv},
    }
"""


@registry.register("supervision_transfer", cite=BIBTEX)
def supervision_transfer(
    *,
    task: Task,
    length: Length,
    temperature: float = 2.0,
    soft: float = 1.0,
    layer: str | None = None,
    teacher_layer: str | None = None,
    hint: float = 1.0,
    labels: float = 0.0,
    fine_tuning: float = 0.0,
) -> DistillationArguments:
    """Trains a student that reads one modality on what a teacher makes of another, on pairs that need no labels:

    soft · T² KL(teacher ‖ student) + hint · mean (A f_s − f_t)² + labels · CE,

    then, if asked to, on the labels alone. f_s and f_t are the features of a layer each, and A is an adapter to the teacher's
    shape that is dropped at the end. The paper has the features and the fine-tuning; soft targets alone need no fine-tuning,
    since they train the student's own classifier.

    Args:
        temperature: T of the soft targets.
        soft: weight of the soft targets; of a task without classes, of its own loss on outputs.
        layer, teacher_layer: the taps that are compared; None: outputs alone. `teacher_layer` is by default the one of this
            name.
        hint: weight of the features.
        labels: weight of the labels of items that have one.
        fine_tuning: epochs on the labels alone, after the transfer.

    Raises:
        ValueError: a negative number; nothing that the teacher gives; a layer of the teacher alone.
    """
    check_layers("supervision_transfer", layer, teacher_layer)
    if min(soft, hint, fine_tuning) < 0 or (soft == 0 and (layer is None or hint == 0)):
        raise ValueError(
            f"supervision_transfer: soft is {soft:g}, hint {hint:g}, layer {layer} and fine_tuning {fine_tuning:g}; expected "
            "numbers of 0 or more, and soft above 0 or a layer with a hint above 0, without which no teacher teaches"
        )
    terms = [*label_terms(task, labels), *soft_terms(task, temperature, soft)]
    if layer is not None and hint > 0:
        terms.append(Term(Hint(), student=layer, teacher=teacher_layer, weight=hint))
    stages = [Stage([Update(terms)], length, name="transfer")]
    if fine_tuning > 0:
        stages.append(Stage([Update(label_terms(task, 1.0))], passes(fine_tuning), name="fine-tuning"))
    return {"stages": stages}
