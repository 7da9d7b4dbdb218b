"""Actors that a run has no use for, or reads as they start although they are to be trained."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field

from limbeck.core.actors import Role
from limbeck.core.criterion import Criterion
from limbeck.core.originals import with_originals
from limbeck.core.references import Reference
from limbeck.core.source import Source
from limbeck.engine import Update
from limbeck.experiment.plan import STUDENT, TEACHER, Plan, references_of
from limbeck.experiment.plan_checks import matching_actors


@dataclass
class Participation:
    """Who takes part in the updates of a run.

    Attributes:
        read: the actors that a term or a source reads, or an update trains.
        trained: those that an update trains, or from which a source makes what it trains.
    """

    read: set[str] = field(default_factory=set)
    trained: set[str] = field(default_factory=set)

    def add(self, update: Update, criterion: Criterion, source: Source) -> None:
        """Notes the actors of an update, of its terms, and of the source of its batches.

        Args:
            update: with the names of actors in place of patterns.
            criterion, source: of this update, built and bound.
        """
        criteria = (criterion, *source.criteria.values())
        observed = (Reference.parse(text, default=STUDENT, actors=criterion.actors) for text in source.observes or ())
        self.trained |= {*update.trains, *source.criteria}
        self.read |= {reference.actor for each in criteria for term in each.terms for reference in term.references}
        self.read |= {reference.actor for reference in observed} | set(source.actors) | self.trained

    def warn(self, plans: Mapping[str, Plan]) -> None:
        """Warns of actors that take no part, and of those that are read and never trained, although they are to be.

        A teacher that no term reads is told by a warning of its own.

        Args:
            plans: of the arms, by name.
        """
        actors = plans[STUDENT].actors
        read = self.read | {name for plan in plans.values() for name in _evaluated(plan)}
        used = {each for name in read if name in actors for each in with_originals(name, actors)}
        for name, actor in actors.items():
            if name not in used and name != TEACHER:
                warnings.warn(
                    f"actors.{name}: it takes no part in the run: no update trains it, no term or source reads it, and it is "
                    "not evaluated; name it in trains of an update, in a term or in evaluate, or leave it out",
                    stacklevel=2,
                )
            elif name in used and actor.role is Role.TRAINED and name not in self.trained:
                warnings.warn(
                    f"actors.{name}: no update trains it, so that it keeps the weights with which it starts; name it in trains "
                    "of an update, or make it frozen(…)",
                    stacklevel=2,
                )


def _evaluated(plan: Plan) -> list[str]:
    """The actors that are evaluated, the teacher of the verdict included."""
    results = [text for each in plan.evaluate.values() for text in references_of(each)]
    compared = () if plan.teacher is None else references_of(plan.teacher)
    found = matching_actors("evaluate", results, STUDENT, plan.actors)
    return found + matching_actors("evaluate.teacher", compared, TEACHER, plan.actors)
