"""Which actors of a step need gradient."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class GradientPlan:
    """Who needs gradient in one step.

    Attributes:
        trains: the actors whose parameters this step changes.
        through: the actor that makes the inputs (a generator), or None for inputs from data.
    """

    trains: frozenset[str]
    generator: str | None = None

    @property
    def trains_generator(self) -> bool:
        """Whether something upstream of every actor's input is trained: then gradient passes through all of them."""
        return self.generator is not None and self.generator in self.trains

    def needs_gradient(self, actor: str) -> bool:
        """An actor runs under `no_grad` unless it is trained or its input is."""
        return actor in self.trains or (self.trains_generator and actor != self.generator)

    def reached_from(self, actor: str) -> set[str]:
        """Which trained actors a loss on this actor's signal reaches."""
        reached = {actor} & self.trains
        if self.trains_generator and self.generator is not None:
            reached.add(self.generator)
        return reached
