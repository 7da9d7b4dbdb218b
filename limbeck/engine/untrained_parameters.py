"""Parameters that are to be trained and get no gradient: such as a second head that no term reads."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence

from torch import nn

from limbeck.core.actors import Actors
from limbeck.engine.binding import BoundUpdate
from limbeck.engine.stages import Stage
from limbeck.utils import distributed

SHOWN = 4  # parameters that are named


class UntrainedParameters:
    """Warns of trainable parameters without gradient, by name, once the first steps have shown which have one.

    A parameter counts as trained if any update reaches it in the first steps of any stage, so the warning comes in the last
    stage that trains its actor. Actors of which terms read variants are left out: a random one reaches only some parameters.
    A resumed run does not know its earlier stages, and warns of nothing.

    Args:
        actors: all actors.
        stages: with the names of actors in place of patterns.
    """

    def __init__(self, actors: Actors, stages: Sequence[Stage]) -> None:
        self.actors = actors
        self.last = {name: number for number, stage in enumerate(stages) for update in stage.updates for name in update.trains}
        self.reached: set[int] = set()
        self.expected: set[int] = set()
        self._pending: set[int] = set()
        self._candidates: set[str] = set()

    def expect(self, parameters: Iterable[nn.Parameter]) -> None:
        """Says nothing of these parameters, which nothing reads that comes of the run."""
        self.expected |= set(map(id, parameters))

    def begin(self, number: int, updates: Sequence[BoundUpdate], *, resumed: bool) -> None:
        """Starts to look at a stage.

        Args:
            number: of the stage.
            resumed: whether the run has steps behind it that were not looked at.
        """
        names = {name for one in updates for name in one.update.trains}
        read = (reference for one in updates for term in one.criterion.terms for reference in term.references)
        varied = {reference.actor for reference in read if reference.variant is not None}
        self._candidates = {name for name in names - varied if self.last[name] == number}
        self._pending = set() if resumed else set(map(id, updates))

    def note(self, one: BoundUpdate, frozen: set[int]) -> None:
        """Notes what has a gradient after the backward pass of an update, until each was seen with all its terms at work.

        Args:
            frozen: ids of the parameters that keep their values.
        """
        if id(one) not in self._pending:
            return
        self.reached |= {id(p) for parameters in one.learners.values() for p in parameters if p.grad is not None}
        if not one.check:  # a term without labels in the first batch may have reached nothing yet
            self._pending.discard(id(one))
            if not self._pending:
                self._warn(frozen)

    def _warn(self, frozen: set[int]) -> None:
        if distributed.rank() != 0:
            return
        known = self.reached | self.expected | frozen
        for actor in sorted(self._candidates):
            named = self.actors[actor].model.named_parameters()
            left = [name for name, p in named if id(p) not in known]
            if left:
                more = f", … {len(left)} in all" if len(left) > SHOWN else ""
                warnings.warn(
                    f"{actor}: no term gives {', '.join(left[:SHOWN])}{more} a gradient, so nothing trains them, and an output "
                    "that reads them stays partly random. Read another output (output: of the model), add a term on theirs, "
                    "or freeze them (requires_grad_(False))",
                    stacklevel=2,
                )
