"""The probes of all actors of a run."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from limbeck.core.actors import Actors
from limbeck.core.references import Reference
from limbeck.core.taps.probe import Probe
from limbeck.core.taps.tap import Tap


class ProbeSet:
    """One probe for each actor that a reference names, attached once and kept over all steps.

    Attributes:
        actors: all actors by name.
        by_actor: their probes, of those that were added.
    """

    def __init__(self, actors: Actors) -> None:
        self.actors = actors
        self.by_actor: dict[str, Probe] = {}
        self._modules: dict[str, tuple[nn.Module, ...]] = {}

    def __getitem__(self, actor: str) -> Probe:
        return self.by_actor[actor]

    def add(self, references: Iterable[Reference]) -> None:
        """Record the signals that these references name; of a pattern those of all its matches."""
        for reference in (found for each in references for found in each.matches(self.actors)):
            name = reference.actor
            if name not in self.by_actor:
                self.by_actor[name] = Probe(self.actors[name].model, (), output=self.actors[name].output)
            self.by_actor[name].add(Tap.parse(reference.tap))

    def set_mode(self, actor: str, training: bool) -> None:
        """Put every module of an actor into training or evaluation mode; checking first is much cheaper than setting."""
        model = self.actors[actor].model
        modules = self._modules.setdefault(actor, tuple(model.modules()))
        if any(module.training != training for module in modules):
            model.train(training)

    def close(self) -> None:
        """Remove all hooks from the models."""
        for probe in self.by_actor.values():
            probe.close()
        self.by_actor.clear()

    def __del__(self) -> None:
        self.close()  # a criterion that is deleted leaves no hooks behind
