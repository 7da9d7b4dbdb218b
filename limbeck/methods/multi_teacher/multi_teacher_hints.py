"""Features of several teachers at once (after FEED, Park and Kwak 2019, arXiv 1909.10754)."""

from __future__ import annotations

from limbeck.core.teachers import Ensemble
from limbeck.core.terms import Term
from limbeck.methods.registration import DistillationArguments, registry
from limbeck.methods.teacher_terms import label_terms, soft_terms
from limbeck.objectives import Hint
from limbeck.tasks import Task

BIBTEX = """
    @misc{park2019feed,
        title = {{FEED}: Feature-level Ensemble for Knowledge Distillation},
        author = {Park, SeongUk and Kwak, Nojun},
        year = {2019},
        eprint = {1909.10754},
        archiveprefix = {arXiv},
    }
"""


@registry.register("multi_teacher_hints", cite=BIBTEX)
def multi_teacher_hints(
    *,
    task: Task | None = None,
    teachers: str = "teachers.*",
    layer: str = "layer3",
    teacher_layer: str | None = None,
    adapter: str = "conv_bn",
    hint: float = 10.0,
    soft: float = 0.9,
    labels: float = 0.1,
    temperature: float = 4.0,
) -> DistillationArguments:
    """Returns labels·CE + soft·T²·KL(mean of the teachers ‖ student) + hint·(1/K)·Σ_k mean (f_k − r_k(f_s))².

    Every teacher has a trained map r_k of its own from the student's feature, because the feature spaces of networks that were
    trained apart have nothing in common but the items. FEED uses non-linear maps and the L1 distance of normalised features.

    Args:
        teachers: a pattern that names them.
        layer: tap of the student.
        teacher_layer: that of every teacher; None: `layer`.
        adapter: the kind of the trained maps, one for each teacher: `conv_bn` for maps, `linear` for vectors and tokens.
        hint, soft, labels: weights of the three parts.
        temperature: T.

    Raises:
        ValueError: a negative weight, or a hint of 0.
    """
    if not hint > 0:
        raise ValueError(f"multi_teacher_hints: hint is {hint}; expected a weight above 0, or use averaged_teachers")
    target = f"{teachers}:{teacher_layer or layer}"
    features = Term(Hint(), f"student:{layer}", target, adapter=adapter, weight=hint)
    return {"terms": [*label_terms(task, labels), *soft_terms(task, temperature, soft, teacher=Ensemble(teachers)), features]}
