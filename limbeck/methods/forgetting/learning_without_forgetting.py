"""Learning without forgetting (Li & Hoiem 2016, arXiv 1606.09282)."""

from __future__ import annotations

from limbeck.core.actors import snapshot
from limbeck.methods.registration import DistillationArguments, registry
from limbeck.methods.training_stages import scaled, taught_by
from limbeck.tasks import Task

BIBTEX = """
    @inproceedings{li2016learning,
        title = {Learning without Forgetting},
        author = {Li, Zhizhong and Hoiem, Derek},
        booktitle = {European Conference on Computer Vision},
        year = {2016},
        eprint = {1606.09282},
        archiveprefix = {arXiv},
    }
"""
PAST = "past"  # the actor: the student as it started


@registry.register("learning_without_forgetting", cite=BIBTEX)
def learning_without_forgetting(
    *,
    task: Task,
    labels: float = 1.0,
    past: float = 0.25,
    soft: float = 0.0,
    temperature: float = 2.0,
) -> DistillationArguments:
    """Trains a student that starts from trained weights on data of a new domain, and holds it to what it predicted before:

    labels · CE(labels) + past · T² KL(p_past ‖ p) + soft · T² KL(p_teacher ‖ p),

    with p_past of a frozen copy of the student as it started, on the same new data. No data of the old domain is needed.
    (The paper gives the new task a head of its own; here both domains have the same classes.) The verdict compares with the
    student as it started, the arm `initial`, and lists what was unlearned.

    Args:
        labels: weight of the labels of the new data.
        past: weight of the student's own past. The paper's cross entropy at T = 2 has no factor T², so that its weight of 1 is
            0.25 here. A larger one keeps more and learns less.
        soft: weight of the actor `teacher`, if there is one; with `labels: 0` and `past: 0` this is distillation alone.
        temperature: T; the paper's is 2.

    Raises:
        ValueError: a negative weight, all weights 0, a temperature that is not positive.
    """
    if min(labels, past, soft) < 0 or not max(labels, past, soft) > 0 or temperature <= 0:
        raise ValueError(
            f"learning_without_forgetting: labels is {labels}, past {past}, soft {soft} and temperature {temperature}; "
            "expected weights of 0 or more, one of them above 0, and a temperature above 0"
        )
    terms = scaled(task.hard_terms("student"), labels)
    if soft:
        terms += taught_by("teacher", "student", task=task, temperature=temperature, weight=soft)
    if not past:
        return {"terms": terms}
    terms += taught_by(PAST, "student", task=task, temperature=temperature, weight=past)
    return {"terms": terms, "actors": {PAST: snapshot("student")}}
