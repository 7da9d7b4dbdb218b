"""Which results a further control trains: none that reads an exit on which it has no term."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from torch import nn

from limbeck.core.actors import Actors
from limbeck.core.pruning import independent_parts
from limbeck.core.references import Reference
from limbeck.experiment.plan import CONTROL, STUDENT, Evaluated, Plan, references_of


def trains_result(arm: str, plan: Plan, evaluated: Evaluated, actors: Actors) -> bool:
    """Whether an arm trains all that a result reads. A part that nothing but its own tap needs, such as an exit, is trained
    only by terms on this tap; without any it would be compared as it was initialised.

    Args:
        plan: of the arm.
        actors: of its training.
    """
    if arm in (STUDENT, CONTROL):  # the control on labels has terms on all that is evaluated
        return True
    needed = _parts(references_of(evaluated), actors)
    taught = _parts((text for term in plan.terms for text in _texts(term.student)), actors)
    return needed <= taught


def unread_parameters(arm: str, plan: Plan, actors: Actors) -> Iterator[nn.Parameter]:
    """The parameters of independent parts that no result of a control reads, such as the exits of a plain network.

    Args:
        plan: of the arm.
        actors: of its training.
    """
    compared = [each for each in plan.evaluate.values() if trains_result(arm, plan, each, actors)]
    read = _parts((text for each in compared for text in references_of(each)), actors)
    for name, actor in actors.items() if arm != STUDENT else ():
        for path in independent_parts(actor.model):
            if (name, path) not in read:
                yield from actor.model.get_submodule(path).parameters()


def _texts(student: str | Iterable[str]) -> Iterable[str]:
    return (student,) if isinstance(student, str) else student


def _parts(texts: Iterable[str], actors: Actors) -> set[tuple[str, str]]:
    """The independent parts that references read, as (actor, path)."""
    found = set()
    for text in texts:
        pattern = Reference.parse(text, default=STUDENT, actors=actors)
        for reference in pattern.matches(actors) if text != "auto" else ():
            paths = independent_parts(actors[reference.actor].model)
            found |= {(reference.actor, path) for path in paths if f"{reference.tap}.".startswith(f"{path}.")}
    return found
