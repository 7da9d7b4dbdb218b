"""Cross-architecture distillation by two projectors (Liu et al. 2022, arXiv 2207.05273)."""

from __future__ import annotations

from collections.abc import Mapping

from limbeck.core.terms import Term
from limbeck.methods.registration import DistillationArguments, registry
from limbeck.methods.teacher_terms import label_terms, soft_terms
from limbeck.objectives import Hint, PartialCrossAttention
from limbeck.objectives.cross_attention import LIU_2022
from limbeck.tasks import Task

MATRICES = ("queries", "keys", "values")


@registry.register("cross_architecture", cite=LIU_2022)
def cross_architecture(
    *,
    task: Task,
    features: Mapping[str, str] | None = None,
    attention: Mapping[str, str] | None = None,
    feature_weight: float = 10.0,
    attention_weight: float = 1.0,
    swap: float = 0.5,
    temperature: float = 4.0,
    labels: float = 0.1,
    soft: float = 0.9,
) -> DistillationArguments:
    """Trains a student whose features are projected into the feature space and the attention space of a teacher:

    labels · CE + soft · T² KL + feature_weight · Σ mean (G(s) − t)² + attention_weight · Σ ℓ_PCA(A(s), Q_t, K_t, V_t).

    G is the group-wise linear projector (adapter `group_linear`), for any two architectures with positions. A is the partially
    cross-attentive one (adapter `attention_heads`, objective `partial_cross_attention`): queries, keys and values are made of
    the student's map, part of their elements is replaced by the teacher's, and attention outputs are compared. It needs a
    teacher with attention. Both projectors learn with the student and are dropped at export.

    The paper's adversarial training on several views is left out, and its weights are not comparable, as losses are means here.

    Args:
        features: student's and teacher's taps for G, maps or tokens: `{layer3: blocks.5}`.
        attention: the student's tap and an attention module of the teacher, or its layer by number, for A:
            `{layer3: blocks.5.attn}`.
        feature_weight, attention_weight: of each pair.
        swap: probability that an element of Q, K or V is the teacher's.
        temperature: T of the outputs.
        labels, soft: weights of the labels and of the teacher's outputs.

    Raises:
        ValueError: neither features nor attention, weights that are not above 0.
    """
    features, attention = features or {}, attention or {}
    if not features and not attention:
        raise ValueError(
            "cross_architecture: neither features nor attention is given; name pairs of taps, such as features: "
            "{layer3: blocks.5}"
        )
    if min(feature_weight, attention_weight) <= 0:
        raise ValueError(
            f"cross_architecture: feature_weight is {feature_weight} and attention_weight {attention_weight}; expected numbers "
            "above 0, or leave the pairs out"
        )
    linear = [
        Term(Hint(), f"student:{ours}", f"teacher:{theirs}", "group_linear", feature_weight, name="group_linear")
        for ours, theirs in features.items()
    ]
    attentive = [_attentive(ours, theirs, swap, attention_weight) for ours, theirs in attention.items()]
    outputs = [*label_terms(task, labels), *soft_terms(task, temperature, soft)]
    return {"terms": [*outputs, *linear, *attentive], "evaluate": {"student": "student"}}


def _attentive(ours: str, theirs: str, swap: float, weight: float) -> Term:
    """The term that compares attention: queries, keys and values of one student's signal with the teacher's."""
    teachers = [f"teacher:{kind}({theirs})" for kind in MATRICES]
    return Term(PartialCrossAttention(swap=swap), [f"student:{ours}"] * len(MATRICES), teachers, "attention_heads", weight)
