"""The weight of the teacher changes over the training (annealing, Jafari et al. 2021, arXiv 2104.07163)."""

from __future__ import annotations

from limbeck.core.schedules import Cosine, Linear, Schedule
from limbeck.methods.registration import DistillationArguments, registry
from limbeck.methods.teacher_terms import label_terms, soft_terms
from limbeck.tasks import Task

BIBTEX = """
    @inproceedings{jafari2021annealing,
        title = {Annealing Knowledge Distillation},
        author = {Jafari, Aref and Rezagholizadeh, Mehdi and Sharma, Pranav and Ghodsi, Ali},
        booktitle = {Conference of the European Chapter of the Association for Computational Linguistics},
        year = {2021},
        eprint = {2104.07163},
        archiveprefix = {arXiv},
    }
"""
SHAPES: dict[str, type[Linear] | type[Cosine]] = {"linear": Linear, "cosine": Cosine}


@registry.register("annealed", cite=BIBTEX)
def annealed(
    *,
    task: Task | None = None,
    start: float = 0.9,
    end: float = 0.0,
    shape: str = "linear",
    temperature: float = 4.0,
) -> DistillationArguments:
    """Returns (1 − α(p))·CE(labels) + α(p)·T²·KL(teacher ‖ student) with α from `start` to `end` over the training.

    The paper trains on the teacher first and on labels then, at temperatures that fall; this is the weight alone.

    Args:
        start, end: α at the beginning and at the end, from 0 to 1.
        shape: `linear` or `cosine`.
        temperature: T.

    Raises:
        ValueError: an argument out of range; α that is 0 throughout.
    """
    for field, value in (("start", start), ("end", end)):
        if not 0 <= value <= 1:
            raise ValueError(f"annealed: {field} is {value}; expected a weight from 0 to 1")
    if start == end == 0:
        raise ValueError("annealed: start and end are 0, so the teacher never teaches; set one of them above 0")
    if shape not in SHAPES:
        raise ValueError(f"annealed: shape is {shape!r}; expected {' or '.join(SHAPES)}")
    alpha: Schedule = SHAPES[shape](start, end)
    rest: Schedule = SHAPES[shape](1 - start, 1 - end)
    return {"terms": [*label_terms(task, rest), *soft_terms(task, temperature, alpha)]}
