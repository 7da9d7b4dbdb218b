"""The training loop: runs, stages, updates, optimizers, checkpoints, logs."""

from limbeck.engine.dead_terms import DeadTermError
from limbeck.engine.finite_check import NonFiniteError
from limbeck.engine.interrupts import Interrupted
from limbeck.engine.optimizers import Optimizer
from limbeck.engine.run import Run
from limbeck.engine.settings import Settings
from limbeck.engine.stages import (
    Freeze,
    LearningRateScale,
    Length,
    Reinitialise,
    Snapshot,
    Stage,
    Unfreeze,
    Update,
    epochs,
    steps,
)
from limbeck.engine.validation import Validation

__all__ = [
    "DeadTermError",
    "Freeze",
    "Interrupted",
    "LearningRateScale",
    "Length",
    "NonFiniteError",
    "Optimizer",
    "Reinitialise",
    "Run",
    "Settings",
    "Snapshot",
    "Stage",
    "Unfreeze",
    "Update",
    "Validation",
    "epochs",
    "steps",
]
