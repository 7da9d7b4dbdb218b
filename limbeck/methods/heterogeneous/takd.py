"""Distillation by way of teacher assistants (Mirzadeh et al. 2020, arXiv 1902.03393)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from limbeck.engine import Length, Stage, Update
from limbeck.methods.registration import DistillationArguments, registry
from limbeck.methods.teacher_terms import check_alpha
from limbeck.methods.training_stages import scaled, taught_by
from limbeck.tasks import Task

BIBTEX = """
    @inproceedings{mirzadeh2020improved,
        title = {Improved Knowledge Distillation via Teacher Assistant},
        author = {Mirzadeh, Seyed Iman and Farajtabar, Mehrdad and Li, Ang and Levine, Nir and Matsukawa, Akihiro and
            Ghasemzadeh, Hassan},
        booktitle = {Proceedings of the AAAI Conference on Artificial Intelligence},
        year = {2020},
        eprint = {1902.03393},
        archiveprefix = {arXiv},
    }
"""
TEACHER, STUDENT = "teacher", "student"


@registry.register("takd", cite=BIBTEX)
def takd(
    *,
    task: Task,
    length: Length,
    assistants: Sequence[str] = ("assistant",),
    temperature: float = 4.0,
    alpha: float = 0.9,
) -> DistillationArguments:
    """Trains a chain of assistants, each from the one before, and the student from the last of them:

    (1 − α)·CE(labels) + α·T² KL(p_before ‖ p), one stage for each; before the first assistant comes the teacher.

    Every stage is as long as the training says. Only the actor of a stage is trained in it. The control leaves the stages of
    assistants out, so the student's steps and its are equal in number; what the chain costs more is its assistants.

    Args:
        assistants: the actors between teacher and student, in the order of the chain, of any architectures and any number; in a
            recipe they stand under `actors:`.
        temperature: T.
        alpha: share of the model before in what each learns, above 0 and at most 1.

    Raises:
        ValueError: no assistant, one twice, teacher or student among them, numbers out of range.
    """
    share = check_alpha("takd", alpha)
    if isinstance(assistants, str) or not assistants:
        raise ValueError(f"takd: assistants is {assistants!r}; name actors in a list, such as [assistant]")
    chain = [TEACHER, *assistants, STUDENT]
    if twice := [name for name in chain if chain.count(name) > 1]:
        raise ValueError(f"takd: {twice[0]!r} stands twice in the chain {' → '.join(chain)}; name each actor once")
    if patterns := [name for name in chain if "*" in name]:
        raise ValueError(f"takd: {patterns[0]!r} is a pattern, which has no order; name the actors of the chain one by one")
    stages = []
    for before, name in pairwise(chain):
        labels = scaled(task.hard_terms(name), 1 - share)
        update = Update([*labels, *taught_by(before, name, task=task, temperature=temperature, weight=share)], trains=name)
        stages.append(Stage([update], length, name=f"{before} → {name}"))
    return {"stages": stages, "evaluate": {STUDENT: STUDENT}}
