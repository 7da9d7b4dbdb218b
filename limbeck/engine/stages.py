"""The description of a run: stages of updates, their lengths, and events at their borders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from limbeck.core.source import Source
from limbeck.core.terms import Term
from limbeck.engine.optimizers import Optimizer


@dataclass(frozen=True)
class Length:
    """The length of a stage, in "steps" or "epochs"; a step is one pass over the stage's updates."""

    count: float
    unit: str

    def in_steps(self, source: Source | None) -> int:
        """Returns the number of steps; raises `ValueError` for epochs of a source without a data set."""
        if self.unit == "steps":
            return int(self.count)
        if source is None or source.steps_per_epoch is None:
            raise ValueError(f"a stage of {self.count:g} epochs needs a source with a data set; give its length in steps")
        return max(1, round(self.count * source.steps_per_epoch))


def epochs(count: float) -> Length:
    """A stage of this many passes over the data."""
    if count <= 0:
        raise ValueError(f"epochs({count}): a stage must have a positive length")
    return Length(count, "epochs")


def steps(count: int) -> Length:
    """A stage of this many steps."""
    if count <= 0:
        raise ValueError(f"steps({count}): a stage must have a positive length")
    return Length(count, "steps")


@dataclass
class Update:
    """One change of weights: terms, a source, the actors that are trained, and how often.

    Attributes:
        terms: of the loss.
        trains: the actors whose parameters this update changes.
        source: where inputs come from; None: the source of the run. Updates with the same source see the same batch in a step.
        every: this update takes part in every n-th step only.
        repeat: how often it is done in a step.
        fresh: whether every repetition draws a new batch.
        optimizer: None: the stage's.
    """

    terms: Sequence[Term]
    trains: str | Sequence[str] = "student"
    source: Source | None = None
    every: int = 1
    repeat: int = 1
    fresh: bool = False
    optimizer: Optimizer | None = None

    def __post_init__(self) -> None:
        self.trains = (self.trains,) if isinstance(self.trains, str) else tuple(self.trains)
        for name in ("every", "repeat"):
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
        if self.factor <= 0:
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
    """Updates with a length and an optimizer, and events on entry and exit. A run is a list of stages."""

    updates: Sequence[Update]
    length: Length
    optimizer: Optimizer = field(default_factory=Optimizer)
    on_enter: Sequence[Event] = ()
    on_exit: Sequence[Event] = ()
    name: str = ""
