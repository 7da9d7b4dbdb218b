"""Which actors of one update need gradient."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class GradientPlan:
    """Which actors of one update need gradient.

    Attributes:
        trains: the actors whose parameters the update changes.
        generator: the actor that makes the inputs; None for inputs from data.
    """

    trains: frozenset[str]
    generator: str | None = None

    @property
    def trains_generator(self) -> bool:
        """Whether the inputs themselves are trained; gradient then passes through all actors that read them."""
        return self.generator is not None and self.generator in self.trains

    def needs_gradient(self, actor: str) -> bool:
        """Whether an actor runs with gradient: it is trained, or its input is. All others run under `no_grad`."""
        return actor in self.trains or (self.trains_generator and actor != self.generator)

    def reached_from(self, actor: str) -> set[str]:
        """The trained actors that the gradient of a loss on this actor's signal reaches."""
        reached = {actor} & self.trains
        if self.trains_generator and self.generator is not None:
            reached.add(self.generator)
        return reached
