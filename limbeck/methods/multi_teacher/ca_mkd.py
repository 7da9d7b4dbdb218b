"""Confidence-aware multi-teacher distillation (Zhang et al. 2022, arXiv 2201.00007)."""

from __future__ import annotations

from limbeck.core.terms import Term
from limbeck.core.weighers import Confidence, HeadConfidence
from limbeck.core.weighers.confidence import ZHANG_2022
from limbeck.methods.registration import DistillationArguments, registry
from limbeck.methods.teacher_terms import label_terms, require_teacher, soft_terms
from limbeck.objectives import Hint
from limbeck.tasks import Task


@registry.register("ca_mkd", cite=ZHANG_2022)
def ca_mkd(
    *,
    task: Task | None = None,
    teachers: str = "teachers.*",
    temperature: float = 4.0,
    labels: float = 1.0,
    soft: float = 1.0,
    hint: float = 50.0,
    layer: str = "layer3",
    teacher_layer: str | None = None,
    adapter: str = "conv_bn",
    classifier: str = "linear",
) -> DistillationArguments:
    """Returns labels·CE + soft·Σ_k w_k·T²·KL(teacher k ‖ student) + hint·Σ_k v_k·mean (f_k − r_k(f_s))².

    w_k = (1 − softmax_k CE(z_k, y)) / (K − 1): teachers that are right about an item count more. v_k is the same of the
    student's feature: mapped into the space of teacher k and classified by that teacher's own classifier; see `HeadConfidence`.
    Items without a label are weighed by entropy. Each teacher has an adapter r_k of its own.

    Args:
        teachers: a pattern that names them.
        temperature: T.
        labels, soft, hint: weights of the three parts; a hint of 0 leaves out the features.
        layer: tap of the student's last map or hidden state before the pooling.
        teacher_layer: that of every teacher; None: `layer`.
        adapter: the kind of the trained maps, one for each teacher: `conv_bn` for maps, `linear` for vectors and tokens.
        classifier: path of every teacher's classifier, which reads the pooled `teacher_layer`.

    Raises:
        ValueError: a negative weight, or `soft` of 0.
    """
    require_teacher("ca_mkd", "soft", soft)
    confident = Confidence(sum_to="teachers")
    terms = [*label_terms(task, labels), *soft_terms(task, temperature, soft, teacher=teachers, item_weight=confident)]
    if hint < 0:
        raise ValueError(f"ca_mkd: hint is {hint}; expected a weight of 0 or more")
    if hint:
        weigher = HeadConfidence(classifier, sum_to="teachers")
        target = f"{teachers}:{teacher_layer or layer}"
        terms.append(Term(Hint(), f"student:{layer}", target, adapter=adapter, weight=hint, item_weight=weigher))
    return {"terms": terms}
