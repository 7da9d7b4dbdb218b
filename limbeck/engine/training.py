"""Training settings, and the stages of a distillation as methods and recipes describe them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from limbeck.core.schedules import Cosine, Warmup
from limbeck.core.terms import Term
from limbeck.data import Items
from limbeck.data.fields import ViewSpecs
from limbeck.engine import Length, Optimizer, Settings, epochs
from limbeck.models.from_teacher import ModelOrBuilder

Views = ViewSpecs
TermFactory = Callable[[], list[Term]]


def default_optimizer() -> Optimizer:
    """Returns AdamW at 2e-3 with a short warm-up and a cosine, which trains most small networks."""
    schedule = Warmup(0.05, then=Cosine())
    return Optimizer("adamw", lr=2e-3, schedule=schedule, options={"weight_decay": 0.05}, decay_vectors=False)


@dataclass
class Phase:
    """One stage of a distillation: terms, length and optimizer.

    Attributes:
        terms: makes new terms; objectives have state, so every training needs its own.
        length: in epochs of the stage's data, or in steps.
        optimizer: None: that of the training.
        freeze: modules that are not trained from this stage on; "" is the whole model.
        name: shown in logs.
        unfreeze: modules that are trained again from this stage on, at the full learning rate.
        lr_scale: factors of the learning rate by module, from this stage on: `{"bert.encoder.layer.0": 0.1}`.
        trains: the student, or one of `actors`.
        actors: further models of this stage and later ones, by name. A model that a stage trains is an assistant, any other a
            further teacher.
        data: items other than the training data, such as texts without labels; the control does not use them.
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
    """How a model is trained, whatever it is compared with.

    Attributes:
        length: of a training with a single stage.
        batch_size: items of a global batch, over all processes and accumulation steps.
        views: augmentation, as names or one-key mappings; by field, or by name of several views: see
            `limbeck.data.fields.views`.
        optimizer: of every stage without its own.
        ema: decay of an average of the student, which is then evaluated and kept; None: no average.
        settings: precision, accumulation, clipping, checkpoints, logs.
        patience: evaluations without improvement after which the training stops; None: it does not.
        validate_every: epochs between evaluations.
        prefetch: batches that a thread prepares ahead; results do not depend on it.
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
