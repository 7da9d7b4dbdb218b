"""The loop and everything that is not distillation: devices, precision, ranks, checkpoints, logs."""

from limbeck.engine.checks import DeadTermError, NonFiniteError
from limbeck.engine.optimizers import Optimizer
from limbeck.engine.run import Interrupted, Run
from limbeck.engine.settings import Settings, Validation
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
