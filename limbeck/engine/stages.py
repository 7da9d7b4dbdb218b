"""What a run does and for how long: updates within stages, and what happens at their borders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from limbeck.core.source import Source
from limbeck.core.terms import Term
from limbeck.engine.optimizers import Optimizer


@dataclass(frozen=True)
class Length:
    """How long a stage is, in steps; a step is one pass over the stage's updates."""

    count: float
    unit: str

    def in_steps(self, source: Source | None) -> int:
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
    """Terms + source + whom it trains + how often.

    Attributes:
        terms: what makes up the loss.
        trains: the actors whose parameters this update changes.
        source: where inputs come from; None: the source of the run. Updates with the same source see the same batch in a step.
        every: do this update in every n-th step only.
        repeat: do it this often in a step.
        fresh: draw a new batch for every repetition.
        optimizer: another one than the stage's.
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
    """Keep an actor's parameters as they are from here on; `modules` restricts this to parts of it."""

    actor: str
    modules: tuple[str, ...] = ()


@dataclass(frozen=True)
class Unfreeze:
    """Let an actor's parameters (or those of some `modules`) learn again."""

    actor: str
    modules: tuple[str, ...] = ()


@dataclass(frozen=True)
class LearningRateScale:
    """Let an actor's parameters (or those of some `modules`) learn at a part of the rate from here on; 1: at the full rate."""

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
    """Copy the present weights of an actor's original into it: `Snapshot("teacher")` where teacher = snapshot("student")."""

    actor: str


@dataclass(frozen=True)
class Reinitialise:
    """Give an actor fresh weights, from its factory or by `reset_parameters` of its layers (born-again generations)."""

    actor: str


Event = Freeze | Unfreeze | LearningRateScale | Snapshot | Reinitialise


@dataclass
class Stage:
    """Updates + optimizer + length, with what happens on entry and exit. A run is a list of stages."""

    updates: Sequence[Update]
    length: Length
    optimizer: Optimizer = field(default_factory=Optimizer)
    on_enter: Sequence[Event] = ()
    on_exit: Sequence[Event] = ()
    name: str = ""
