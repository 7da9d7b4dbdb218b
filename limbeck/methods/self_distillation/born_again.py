"""Born-again networks (Furlanello et al. 2018, arXiv 1805.04770)."""

from __future__ import annotations

from limbeck.core.actors import snapshot
from limbeck.core.teachers import Ensemble
from limbeck.engine import Length, Reinitialise, Snapshot, Stage, Update
from limbeck.engine.stages import Event
from limbeck.methods.registration import DistillationArguments, registry
from limbeck.methods.training_stages import scaled, taught_by
from limbeck.tasks import Task

BIBTEX = """
    @inproceedings{furlanello2018born,
        title = {Born Again Neural Networks},
        author = {Furlanello, Tommaso and Lipton, Zachary C. and Tschannen, Michael and Itti, Laurent and Anandkumar, Anima},
        booktitle = {International Conference on Machine Learning},
        year = {2018},
        eprint = {1805.04770},
        archiveprefix = {arXiv},
    }
"""
MOST = 100  # generations; each is a stage and a model that is kept


@registry.register("born_again", cite=BIBTEX)
def born_again(
    *, task: Task, length: Length, generations: int = 3, temperature: float = 1.0, labels: float = 1.0, weight: float = 1.0
) -> DistillationArguments:
    """Trains generations of one network: the first on labels, each later one from new weights on labels and its predecessor:

    labels · CE(labels) + weight · T² KL(p_before ‖ p).

    The last generation is the student; the ensemble of all of them is a result too. Every generation trains as long as the
    training says, so the control, which begins anew as often, has the same number of steps.

    Args:
        generations: how many there are, the first included.
        temperature: T.
        labels: weight of the labels after the first generation; 0 is the paper's BAN, 1 its BAN+L.
        weight: of the generation before.

    Raises:
        ValueError: fewer than two generations or more than a hundred, weights or a temperature out of range.
    """
    if not 2 <= generations <= MOST:
        raise ValueError(f"born_again: generations is {generations}; expected 2, the first of labels alone, to {MOST}")
    if labels < 0 or weight <= 0 or temperature <= 0:
        raise ValueError(
            f"born_again: labels is {labels}, weight {weight} and temperature {temperature}; expected labels of 0 or more, and "
            "the others above 0"
        )
    earlier = [f"generations.{number}" for number in range(1, generations)]
    stages = [Stage([Update(task.hard_terms("student"))], length, name="generation 1")]
    for number, before in enumerate(earlier, 2):
        taught = taught_by(before, "student", task=task, temperature=temperature, weight=weight)
        update = Update([*scaled(task.hard_terms("student"), labels), *taught])
        anew: list[Event] = [Snapshot(before), Reinitialise("student")]
        stages.append(Stage([update], length, on_enter=anew, name=f"generation {number}"))
    return {
        "stages": stages,
        "actors": {name: snapshot("student") for name in earlier},
        "evaluate": {"student": "student", "generations": Ensemble(["student", *earlier])},
    }
