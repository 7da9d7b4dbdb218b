"""The loop and everything that is not distillation: devices, precision, ranks, checkpoints, logs."""

from limbeck.engine.checks import DeadTermError, NonFiniteError
from limbeck.engine.optimizers import Optimizer
from limbeck.engine.run import Interrupted, Run
from limbeck.engine.settings import Settings, Validation
from limbeck.engine.stages import Freeze, Length, Reinitialise, Slow, Snapshot, Stage, Step, Unfreeze, epochs, steps

__all__ = [
    "DeadTermError",
    "Freeze",
    "Interrupted",
    "Length",
    "NonFiniteError",
    "Optimizer",
    "Reinitialise",
    "Run",
    "Settings",
    "Slow",
    "Snapshot",
    "Stage",
    "Step",
    "Unfreeze",
    "Validation",
    "epochs",
    "steps",
]
