"""Self-distillation from the last mini-batch (Shen et al. 2022, arXiv 2203.16172)."""

from __future__ import annotations

from limbeck.core.teachers import PastPredictions
from limbeck.methods.registration import DistillationArguments, registry
from limbeck.methods.training_stages import taught_by
from limbeck.tasks import Task

BIBTEX = """
    @inproceedings{shen2022self,
        title = {Self-Distillation from the Last Mini-Batch for Consistency Regularization},
        author = {Shen, Yiqing and Xu, Liwu and Yang, Yuzhe and Li, Yaqian and Guo, Yandong},
        booktitle = {Conference on Computer Vision and Pattern Recognition},
        year = {2022},
        eprint = {2203.16172},
        archiveprefix = {arXiv},
    }
"""


@registry.register("dlb", cite=BIBTEX)
def dlb(*, task: Task, temperature: float = 3.0, alpha: float = 1.0) -> DistillationArguments:
    """Trains a student on labels and, for the half of a batch that was in the batch before, on its predictions of then:

    mean over the batch of CE(labels) + α · mean over that half of T² KL(p_step before ‖ p).

    Batches have to overlap: `training: {overlap: true}`, in Python `Training(overlap=True)`. An epoch then has twice as many
    steps as without, for the control too.

    Args:
        temperature: T.
        alpha: weight of the predictions of the step before.

    Raises:
        ValueError: numbers that are not positive.
    """
    if alpha <= 0 or temperature <= 0:
        raise ValueError(f"dlb: alpha is {alpha} and temperature {temperature}; expected numbers above 0")
    # the term is the mean over the whole batch, in which the new half, without a prediction to learn from, counts 0
    last = taught_by(PastPredictions(within=1), "student", task=task, temperature=temperature, weight=2 * alpha)
    return {"terms": [*task.hard_terms("student"), *last]}
