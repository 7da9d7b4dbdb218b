"""How a run is carried out: everything that is not distillation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch

PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Settings:
    """Devices, precision, accumulation, checkpoints and logs.

    Attributes:
        precision: "float32", or mixed precision in "bfloat16" or "float16" (with loss scaling).
        accumulate: pieces into which a batch is cut for memory; the result is the same as without.
        clip: the largest norm of the gradient of an update; None: no clipping.
        compile: run actors through `torch.compile`, where only their output is tapped.
        checkpoint_every: steps between checkpoints; None: at the end of every epoch.
        log_every: steps between log entries.
        trackers: any of Accelerate's trackers by name ("tensorboard", "wandb", "mlflow", …).
        progress: show a progress bar.
        labels: what log entries carry to tell runs apart, e.g. {"seed": 0, "arm": "student"}.
        device: where to run; None: what Accelerate finds.
        threads: of the CPU; None: torch's own choice. Very small models are fastest with 1.
    """

    precision: str = "float32"
    accumulate: int = 1
    clip: float | None = None
    compile: bool = False
    checkpoint_every: int | None = None
    log_every: int = 50
    trackers: Sequence[str] = ("tensorboard",)
    progress: bool = True
    labels: Mapping[str, str | int] = field(default_factory=dict)
    device: str | None = None
    threads: int | None = None

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision is {self.precision!r}; expected one of {', '.join(PRECISIONS)}")
        for name in ("accumulate", "log_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; expected 1 or more")

    @property
    def autocast(self) -> torch.dtype | None:
        return PRECISIONS[self.precision]
