"""The probes of all actors of a run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from torch import nn

from limbeck.core.actors import Actors
from limbeck.core.input_guard import InputGuard
from limbeck.core.references import Reference
from limbeck.core.taps.probe import Probe
from limbeck.core.taps.tap import Tap


class ProbeSet:
    """One probe for each actor that a reference names, attached once and kept over all steps.

    Attributes:
        actors: all actors by name.
        by_actor: their probes, of those that were added.
        guard: keeps actors from changing the inputs of others.
    """

    def __init__(self, actors: Actors) -> None:
        self.actors = actors
        self.by_actor: dict[str, Probe] = {}
        self.guard = InputGuard()
        self._modules: dict[str, tuple[nn.Module, ...]] = {}
        self._parameters: dict[str, tuple[nn.Parameter, ...]] = {}
        self._frozen: dict[str, tuple[tuple[bool, ...], set[int]]] = {}

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
        """Put every module of an actor into training or evaluation mode; checking first is much cheaper than setting.

        In training, modules whose parameters are all frozen stay in evaluation mode with everything inside them: BatchNorm
        statistics are then as fixed as weights.
        """
        model = self.actors[actor].model
        modules = self._modules.setdefault(actor, tuple(model.modules()))
        frozen = self._frozen_modules(actor, model) if training else set()
        if not frozen:
            if any(module.training != training for module in modules):
                model.train(training)
            return
        for module in modules:
            if module.training == (id(module) in frozen):
                module.training = not module.training

    def _frozen_modules(self, actor: str, model: nn.Module) -> set[int]:
        """The ids of the modules that lie in a part without any parameter that collects gradient."""
        parameters = self._parameters.setdefault(actor, tuple(model.parameters()))
        flags = tuple(parameter.requires_grad for parameter in parameters)
        if all(flags):
            return set()
        known = self._frozen.get(actor)
        if known is None or known[0] != flags:
            known = self._frozen[actor] = (flags, set(_frozen_parts(model)))
        return known[1]

    def close(self) -> None:
        """Remove all hooks from the models."""
        for probe in self.by_actor.values():
            probe.close()
        self.by_actor.clear()

    def __del__(self) -> None:
        self.close()  # a criterion that is deleted leaves no hooks behind


def _frozen_parts(module: nn.Module) -> Iterator[int]:
    """The ids of all modules below the topmost ones whose parameters are all frozen."""
    parameters = list(module.parameters())
    if parameters and not any(parameter.requires_grad for parameter in parameters):
        yield from map(id, module.modules())
        return
    for child in module.children():
        yield from _frozen_parts(child)
