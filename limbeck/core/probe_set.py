"""The probes of all actors of a run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from operator import attrgetter

from torch import nn

from limbeck.core.actors import Actors
from limbeck.core.input_guard import InputGuard
from limbeck.core.references import Reference
from limbeck.core.taps.probe import Probe
from limbeck.core.taps.tap import Tap

Modules = tuple[nn.Module, ...]
_in_training = attrgetter("training")


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
        self._parameters: dict[str, tuple[nn.Parameter, ...]] = {}
        self._modes: dict[tuple[str, bool], tuple[Modules, Modules]] = {}

    def __getitem__(self, actor: str) -> Probe:
        return self.by_actor[actor]

    def add(self, references: Iterable[Reference]) -> None:
        """Record the signals that these references name; of a pattern those of all its matches."""
        for reference in (found for each in references for found in each.matches(self.actors)):
            name = reference.actor
            if name not in self.by_actor:
                self.by_actor[name] = Probe(self.actors[name].model, (), output=self.actors[name].output)
            self.by_actor[name].add(Tap.parse(reference.tap))

    def parameters(self, actor: str) -> tuple[nn.Parameter, ...]:
        """The parameters of an actor."""
        found = self._parameters.get(actor)
        if found is None:
            found = self._parameters[actor] = tuple(self.actors[actor].model.parameters())
        return found

    def set_mode(self, actor: str, training: bool) -> None:
        """Put every module of an actor into training or evaluation mode.

        In training, modules whose parameters are all frozen stay in evaluation mode with everything inside them: BatchNorm
        statistics are then as fixed as weights. Which these are is found out once, at the first call in training.
        """
        modules, fixed = self._modes.get((actor, training)) or self._modules_by_mode(actor, training)
        if _all_in_mode(modules, training) and _all_in_mode(fixed, False):
            return
        if not fixed:
            self.actors[actor].model.train(training)
            return
        for module in modules:
            module.training = training
        for module in fixed:
            module.training = False

    def _modules_by_mode(self, actor: str, training: bool) -> tuple[Modules, Modules]:
        """The modules of an actor that are put into a mode, and those that stay in evaluation mode whatever it is."""
        model = self.actors[actor].model
        frozen = set(_frozen_parts(model)) if training else set()
        modules = tuple(model.modules())
        self._modes[actor, training] = (
            tuple(module for module in modules if id(module) not in frozen),
            tuple(module for module in modules if id(module) in frozen),
        )
        return self._modes[actor, training]

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


def _all_in_mode(modules: Modules, training: bool) -> bool:
    """Whether all modules are in a mode. Models and users change modes on their own, so each is looked at; 40 ns a module."""
    modes = map(_in_training, modules)
    return all(modes) if training else not any(modes)
