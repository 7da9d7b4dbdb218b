"""Which parameters are trained, and at which share of the learning rate."""

from __future__ import annotations

from collections.abc import Sequence

from limbeck.core.actors import Actors, Role, is_held
from limbeck.engine.binding import BoundUpdate
from limbeck.engine.stages import Freeze, LearningRateScale, ParameterEvent, Stage, Unfreeze


class TrainableParameters:
    """Follows the events that freeze parameters or scale their learning rate.

    What a trained actor was handed over with as frozen (`requires_grad=False`) stays so, unless an `Unfreeze` names its module.
    As a context manager it gives trained actors back as they were handed over.

    Attributes:
        held: ids of the parameters that were handed over frozen.
        frozen: ids of the frozen parameters.
        lr_scale: factor of the learning rate by a parameter's id, where it is set.
    """

    def __init__(self, actors: Actors) -> None:
        self.actors = actors
        self.held = {id(p) for a in actors.values() if a.role is Role.TRAINED for p in a.model.parameters() if is_held(p)}
        self.frozen: set[int] = set(self.held)
        self.lr_scale: dict[int, float] = {}
        self._active: BoundUpdate | None = None

    def apply(self, event: ParameterEvent) -> None:
        """Raises `AttributeError` if the actor has no such module."""
        model = self.actors[event.actor].model
        roots = [model.get_submodule(path) for path in event.modules] or [model]
        ids = {id(p) for root in roots for p in root.parameters()}
        if isinstance(event, LearningRateScale):
            self.lr_scale |= dict.fromkeys(ids, event.factor)
        else:
            thawed = ids if event.modules else ids - self.held
            self.frozen = self.frozen | ids if isinstance(event, Freeze) else self.frozen - thawed

    def replay(self, earlier: Sequence[Stage], current: Stage) -> None:
        """Applies the events up to the entry of the current stage, so that checkpoints need not hold their effect."""
        self.frozen, self.lr_scale = set(self.held), {}
        events = [event for stage in earlier for event in (*stage.on_enter, *stage.on_exit)]
        for event in (*events, *current.on_enter):
            if isinstance(event, Freeze | Unfreeze | LearningRateScale):
                self.apply(event)

    def activate(self, update: BoundUpdate) -> None:
        """Sets `requires_grad` for an update: only what it trains collects gradient, which passes through everything else."""
        if self._active is update:
            return
        self._active = update
        learning = {id(p) for parameters in update.learners.values() for p in parameters} - self.frozen
        learning -= {id(p) for a in self.actors.values() if a.role is not Role.TRAINED for p in a.model.parameters()}
        for actor in self.actors.values():
            if actor.role is Role.TRAINED:
                for parameter in actor.model.parameters():
                    parameter.requires_grad_(id(parameter) in learning)

    def __enter__(self) -> TrainableParameters:
        return self

    def __exit__(self, *_: object) -> None:
        self._active = None
        for actor in self.actors.values():
            if actor.role is Role.TRAINED:
                for parameter in actor.model.parameters():
                    parameter.requires_grad_(id(parameter) not in self.held)


def require_trainable(actors: Actors, trains: Sequence[str]) -> None:
    """Refuses to train an actor of which every parameter was handed over frozen.

    Raises:
        ValueError: with the name of the actor.
    """
    for name in trains:
        parameters = list(actors[name].model.parameters())
        if parameters and all(map(is_held, parameters)):
            raise ValueError(
                f"{name!r}: it is to be trained, and all of its parameters are frozen (requires_grad=False); hand it over with "
                "model.requires_grad_(True), or leave what shall learn unfrozen"
            )
