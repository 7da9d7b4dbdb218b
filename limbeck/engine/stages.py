"""The description of a run: stages of updates, their lengths, and events at their borders."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from limbeck.core.actors import Actors, Role
from limbeck.core.balance import Balance, balance
from limbeck.core.source import Source
from limbeck.core.terms import Term
from limbeck.engine.optimizers import Optimizer
from limbeck.utils.argument_types import require, require_sequence


@dataclass(frozen=True)
class Length:
    """The length of a stage, in "steps" or "epochs"; a step is one pass over the stage's updates."""

    count: float
    unit: str

    def __post_init__(self) -> None:
        if not 0 < self.count < math.inf:
            raise ValueError(f"{self.unit}({self.count}): a stage must have a positive length")

    def in_steps(self, source: Source | None) -> int:
        """Returns the number of steps; raises `ValueError` for epochs of a source without a data set."""
        if self.unit == "steps":
            return int(self.count)
        if source is None or source.steps_per_epoch is None:
            raise ValueError(f"a stage of {self.count:g} epochs needs a source with a data set; give its length in steps")
        return max(1, round(self.count * source.steps_per_epoch))


def epochs(count: float) -> Length:
    """A stage of this many passes over the data."""
    return Length(count, "epochs")


def steps(count: int) -> Length:
    """A stage of this many steps."""
    return Length(count, "steps")


@dataclass
class Update:
    """One change of weights: terms, a source, the actors that are trained, and how often.

    Attributes:
        terms: of the loss.
        trains: the actors whose parameters this update changes, by name or pattern (`peers.*`).
        source: where inputs come from; None: the source of the run. Updates with the same source see the same batch in a step.
            `Distillation` also takes items here, and draws them in batches as it draws the training data.
        every: this update takes part in every n-th step only.
        repeat: how often it is done in a step.
        fresh: whether every repetition draws a new batch.
        optimizer: None: the stage's.
        balance: factors of the terms' weights that follow the training: a name (`uncertainty`, `gradient_norm`), its recipe
            form or a `Balance`; None: the terms' own weights.
    """

    terms: Sequence[Term]
    trains: str | Sequence[str] = "student"
    source: Source | Any = None
    every: int = 1
    repeat: int = 1
    fresh: bool = False
    optimizer: Optimizer | None = None
    balance: str | Mapping[str, Any] | Balance | None = None

    def __post_init__(self) -> None:
        if self.balance is not None:
            self.balance = balance(self.balance)
        self.trains = (self.trains,) if isinstance(self.trains, str) else tuple(self.trains)
        if not self.trains or not all(isinstance(name, str) for name in self.trains):
            raise ValueError(f"Update: trains is {list(self.trains)}; name at least one actor, such as trains='student'")
        require_sequence("Update: terms", self.terms, Term, "[Term(SoftTargets())]")
        for name in ("every", "repeat"):
            require(f"Update: {name}", getattr(self, name), int, f"{name}=1")
            if getattr(self, name) < 1:
                raise ValueError(f"Update: {name} is {getattr(self, name)}; expected 1 or more")
        if not self.terms:
            raise ValueError("Update: it needs at least one term")


@dataclass(frozen=True)
class Freeze:
    """Parameters of an actor keep their values from here on; `modules` restricts this to parts of it."""

    actor: str
    modules: tuple[str, ...] = ()


@dataclass(frozen=True)
class Unfreeze:
    """Parameters of an actor, or of some of its `modules`, are trained again from here on."""

    actor: str
    modules: tuple[str, ...] = ()


@dataclass(frozen=True)
class LearningRateScale:
    """Parameters of an actor, or of some of its `modules`, are trained at `factor` times the learning rate from here on."""

    actor: str
    modules: tuple[str, ...] = ()
    factor: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.factor < math.inf:
            raise ValueError(
                f"LearningRateScale: factor is {self.factor:g}; expected a number above 0 (Freeze keeps parameters as they are)"
            )


@dataclass(frozen=True)
class Snapshot:
    """Copies the current weights of an actor's original into it: `Snapshot("teacher")` where teacher = snapshot("student")."""

    actor: str


@dataclass(frozen=True)
class Reinitialise:
    """Gives an actor new weights, from its factory or by `reset_parameters` of its layers (born-again generations)."""

    actor: str


ParameterEvent = Freeze | Unfreeze | LearningRateScale
Event = ParameterEvent | Snapshot | Reinitialise


@dataclass
class Stage:
    """Updates with a length and an optimizer, and events on entry and exit. A run is a list of stages.

    Attributes:
        updates: what a step consists of, in order.
        length: in steps, or in epochs of the first update's source.
        optimizer: of the updates without their own; None: that of the training, in a bare `Run` `Optimizer()`.
        on_enter, on_exit: freezing, snapshots, new weights.
        name: shown in logs.
        actors: further actors of this stage and later ones, by name: assistants and teachers that a method brings along.
    """

    updates: Sequence[Update]
    length: Length
    optimizer: Optimizer | None = None
    on_enter: Sequence[Event] = ()
    on_exit: Sequence[Event] = ()
    name: str = ""
    actors: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require_sequence("Stage: updates", self.updates, Update, "[Update(terms)]")
        require("Stage: length", self.length, Length, "steps(100)")
        for name in ("on_enter", "on_exit"):
            require_sequence(f"Stage: {name}", getattr(self, name), Event, "[Freeze('student')]")

    @property
    def terms(self) -> list[Term]:
        """The terms of all updates."""
        return [term for update in self.updates for term in update.terms]


def terms_stage(
    terms: Sequence[Term],
    length: Length,
    optimizer: Optimizer | None = None,
    *,
    name: str = "",
    trains: str = "student",
    source: Source | Any = None,
    actors: Mapping[str, Any] | None = None,
    freeze: Sequence[str] = (),
    unfreeze: Sequence[str] = (),
    lr_scale: Mapping[str, float] | None = None,
) -> Stage:
    """Returns a stage with one update.

    Args:
        freeze: modules that are not trained from this stage on; "" is the whole model.
        unfreeze: modules that are trained again from this stage on, at the full learning rate.
        lr_scale: factors of the learning rate by module, from this stage on: `{"bert.encoder.layer.0": 0.1}`.
        other arguments: of `Stage` and `Update`.
    """
    events = entry_events(trains, freeze=freeze, unfreeze=unfreeze, lr_scale=lr_scale or {})
    update = Update(terms, trains=trains, source=source)
    return Stage([update], length, optimizer, on_enter=events, name=name, actors=actors or {})


def entry_events(
    actor: str, *, freeze: Sequence[str] = (), unfreeze: Sequence[str] = (), lr_scale: Mapping[str, float] | None = None
) -> list[Event]:
    """Returns the events that freeze modules of an actor, train them again, or scale their learning rate."""
    events: list[Event] = [kind(actor, _modules(paths)) for kind, paths in ((Unfreeze, unfreeze), (Freeze, freeze)) if paths]
    if unfreeze:
        events.append(LearningRateScale(actor, _modules(unfreeze), 1.0))
    return [*events, *(LearningRateScale(actor, _modules([path]), by) for path, by in (lr_scale or {}).items())]


def _modules(paths: Sequence[str]) -> tuple[str, ...]:
    """Paths as events take them: none for the whole model."""
    return () if "" in paths else tuple(paths)


def resolve_stages(stages: Sequence[Stage], actors: Actors) -> list[Stage]:
    """Returns the stages with names of actors in place of patterns.

    Raises:
        ValueError: an update trains an unknown actor, or one whose role is not `trained`.
    """
    resolved = []
    for stage in stages:
        updates = [
            replace(update, trains=tuple(dict.fromkeys(name for one in update.trains for name in actors.matching(one))))
            for update in stage.updates
        ]
        for name in (name for update in updates for name in update.trains):
            if (role := actors[name].role) is not Role.TRAINED:
                raise ValueError(f"trains: {name!r} is {role}; make it trained(…), or name another actor")
        resolved.append(replace(stage, updates=updates))
    return resolved


def with_stage_actors(actors: Mapping[str, Any], stages: Sequence[Stage]) -> dict[str, Any]:
    """Returns the actors of a run and those that its stages bring along.

    Raises:
        ValueError: a stage brings an actor under a name that is taken.
    """
    found = dict(actors)
    for stage in stages:
        for name, actor in stage.actors.items():
            if found.setdefault(name, actor) is not actor:
                raise ValueError(f"stage {stage.name!r}: actors: {name!r} is the name of another actor; choose another name")
    return found
