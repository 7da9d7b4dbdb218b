"""Training settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from limbeck.core.schedules import Cosine, Warmup
from limbeck.core.terms import Term
from limbeck.data.fields import ViewSpecs
from limbeck.engine import Length, Optimizer, Settings, epochs
from limbeck.utils import distributed

Views = ViewSpecs
TermFactory = Callable[[], list[Term]]


def default_optimizer() -> Optimizer:
    """Returns AdamW at 2e-3 with a short warm-up and a cosine, which trains most small networks."""
    schedule = Warmup(0.05, then=Cosine())
    return Optimizer("adamw", lr=2e-3, schedule=schedule, options={"weight_decay": 0.05}, decay_vectors=False)


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
        workers: processes that prepare batches ahead instead; None: one a core, at most 8, if items are decoded in every epoch
            and there are more than four cores, else none. Results do not depend on it.
        evaluation_batch_size: items of an evaluation that a model runs on at once; None: as many as a process gets in training.
        overlap: whether half of each batch are the items of the batch before, in other views; see `OverlappingDataset`.
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
    workers: int | None = None
    evaluation_batch_size: int | None = None
    overlap: bool = False

    @property
    def evaluation_batch(self) -> int:
        """Items of an evaluation that a model runs on at once in this process."""
        parts = self.settings.accumulate * distributed.world_size()
        return self.evaluation_batch_size or max(1, self.batch_size // parts)
