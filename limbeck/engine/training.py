"""How a student is to be trained: from what it is made, what it is compared with in which stage, and how it is optimised."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from limbeck.core.schedules import Cosine, Warmup
from limbeck.core.terms import Term
from limbeck.data import Items
from limbeck.engine import Length, Optimizer, Settings, epochs
from limbeck.models.from_teacher import ModelOrBuilder

Views = Sequence[str | Mapping[str, Any]]
TermFactory = Callable[[], list[Term]]


def default_optimizer() -> Optimizer:
    """AdamW at 2e-3 with a short warm-up and a cosine: a start that trains most small networks."""
    schedule = Warmup(0.05, then=Cosine())
    return Optimizer("adamw", lr=2e-3, schedule=schedule, options={"weight_decay": 0.05}, decay_vectors=False)


@dataclass
class Phase:
    """One stage of a recipe: what is compared, for how long, how it is optimised.

    Attributes:
        terms: makes the terms anew; objectives own state, so every training needs its own.
        length: in epochs of the stage's data, or in steps.
        optimizer: None: the distillation's own.
        freeze: parts of the student that stay as they are during this stage and after; "" is the whole of it.
        unfreeze: parts that learn again from here on, at the full rate.
        lr_scale: parts of the student that learn more slowly from here on, and by what factor: `{"bert.encoder.layer.0": 0.1}`.
        trains: whom this stage trains: the student, or one of `actors`.
        actors: further models of this stage and those after it, by name: a model that a stage trains is an assistant, any
            other a further teacher.
        data: other items than the training data, such as texts without labels; the control does without them.
    """

    terms: TermFactory
    length: Length
    optimizer: Optimizer | None = None
    freeze: Sequence[str] = ()
    name: str = ""
    unfreeze: Sequence[str] = ()
    lr_scale: Mapping[str, float] = field(default_factory=dict)
    trains: str = "student"
    actors: Mapping[str, ModelOrBuilder] = field(default_factory=dict)
    data: Items | None = None


@dataclass
class Training:
    """How models are trained, whatever they learn from.

    Attributes:
        length: of a single-stage training.
        batch_size: items of a global batch (over all ranks and accumulation steps).
        views: keyed augmentation, as names or one-key mappings; see `limbeck.data.image.pipeline`.
        optimizer: of every stage that names none.
        ema: decay of an average of the student, which is then what is evaluated and kept; None: no average.
        settings: precision, accumulation, clipping, checkpoints, logs.
        patience: stop after so many evaluations without improvement.
        validate_every: epochs between evaluations.
        prefetch: batches prepared ahead by a thread; results do not depend on it.
    """

    length: Length = field(default_factory=lambda: epochs(30))
    batch_size: int = 128
    views: Views = ()
    optimizer: Optimizer = field(default_factory=default_optimizer)
    ema: float | None = None
    settings: Settings = field(default_factory=Settings)
    patience: int | None = None
    validate_every: int = 1
    prefetch: int = 0
