"""One probe for each actor of a run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from torch import nn

from limbeck.core.actors import Actors
from limbeck.core.references import Reference
from limbeck.core.taps.probe import Probe
from limbeck.core.taps.tap import Tap


@dataclass
class ProbeSet:
    """The probes of a cast: which taps are listened to at which actor. Built once, so that hooks are attached once."""

    actors: Actors
    probes: dict[str, Probe] = field(default_factory=dict)
    modules: dict[str, tuple[nn.Module, ...]] = field(default_factory=dict)

    def listen(self, references: Iterable[Reference]) -> None:
        for reference in references:
            for name in self.actors.matching(reference.actor):
                if name not in self.probes:
                    self.probes[name] = Probe(self.actors[name].model, ())
                self.probes[name].add(Tap.parse(reference.tap))

    def set_mode(self, name: str, training: bool) -> None:
        """Training or evaluation mode for every module of an actor; looking first is much cheaper than setting it each step."""
        model = self.actors[name].model
        modules = self.modules.setdefault(name, tuple(model.modules()))
        if any(module.training != training for module in modules):
            model.train(training)

    def close(self) -> None:
        for probe in self.probes.values():
            probe.close()
        self.probes.clear()

    def __del__(self) -> None:
        self.close()  # a criterion that is thrown away leaves no hooks behind
