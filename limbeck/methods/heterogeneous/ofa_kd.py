"""One-for-all distillation between architectures (Hao et al. 2023, arXiv 2310.19444)."""

from __future__ import annotations

from limbeck.core.terms import Term
from limbeck.methods.registration import DistillationArguments, registry
from limbeck.methods.teacher_terms import label_terms
from limbeck.objectives import AdaptiveTarget
from limbeck.tasks import Task

EXITS = "student:exits.*"


@registry.register("ofa_kd", cite=AdaptiveTarget.bibtex)
def ofa_kd(
    *,
    task: Task | None = None,
    gamma: float = 1.0,
    exit_gamma: float | None = None,
    temperature: float = 1.0,
    labels: float = 1.0,
    weight: float = 1.0,
    exit_weight: float = 1.0,
    exits: str = EXITS,
) -> DistillationArguments:
    """Trains a student whose intermediate features are projected into logit space, where architectures are comparable:

    labels · CE + weight · ℓ(output) + exit_weight · Σ_i ℓ(exit i), ℓ = −T² Σ_c ((p_c + 1_{c=y})^γ − 1_{c=y}) log q_c,

    with the teacher's distribution p and the student's q; see `AdaptiveTarget`. All of it trains the student, exits included.

    The student is made by `with_exits` (in a recipe: `student: {…, exits: [blocks.1, blocks.3]}`). What is kept has its exits,
    unless the tap of the output is what is evaluated: `evaluate: {student: "student:head"}`.

    Args:
        gamma: γ of the output, 1 or more; the paper uses 1 to 1.5. It needs labels, items without one have γ = 1.
        exit_gamma: γ of the exits; None: that of the output.
        temperature: T.
        labels: weight of the labels, on the student's output.
        weight: of the teacher, on the student's output.
        exit_weight: of the teacher, on each exit.
        exits: the exits, by reference.

    Raises:
        ValueError: numbers out of range.
    """
    if min(weight, exit_weight) <= 0:
        raise ValueError(f"ofa_kd: weight is {weight} and exit_weight {exit_weight}; expected numbers above 0")
    for field, value in (("gamma", gamma), ("exit_gamma", gamma if exit_gamma is None else exit_gamma)):
        if value < 1:
            raise ValueError(f"ofa_kd: {field} is {value}; expected a number of 1 or more")

    def taught(student: str, own: float, by: float) -> Term:
        return Term(AdaptiveTarget(gamma=own, temperature=temperature), student=student, teacher="teacher", weight=by)

    inner = taught(exits, gamma if exit_gamma is None else exit_gamma, exit_weight)
    terms = [*label_terms(task, labels), taught("student", gamma, weight), inner]
    return {"terms": terms, "evaluate": {"student": "student"}}
