"""Settings of a run: device, precision, accumulation, checkpoints, logs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from limbeck.engine.trackers import check_tracker_names

PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Settings:
    """Settings of a run that do not depend on the method.

    Attributes:
        precision: "float32", or mixed precision in "bfloat16" or "float16" (with loss scaling).
        accumulate: pieces into which a batch is cut to save memory. The gradient is that of the whole batch, except for what
            compares items (relations between them, BatchNorm, weighers that rank them): that sees one piece at a time.
        clip: maximum norm of the gradient; None: no clipping.
        compile: whether actors of which only the output is tapped run through `torch.compile`.
        checkpoint_every: steps between checkpoints; None: at the end of every epoch.
        log_every: steps between log entries.
        trackers: Accelerate's trackers by name ("tensorboard", "wandb", "mlflow", …).
        project: name of the whole run in trackers, which group its trainings by it.
        config: further settings that trackers are told, such as the recipe.
        progress: whether a progress bar is shown.
        labels: entries of every log line, such as {"seed": 0, "arm": "student"}.
        device: None: what Accelerate finds.
        threads: of the CPU; None: torch's default. Very small models are fastest with 1.
        sync_batch_norm: whether BatchNorm takes its statistics from the whole batch if several processes share it, as one
            process would; otherwise each normalizes by its own share.
        shard: whether several processes hold a part of every weight each (FSDP2) instead of all of them: for students and
            teachers that do not fit one device. Losses and weights are those of whole models. Actors whose outputs are cached
            stay whole. With one process it does nothing.
        gradient_checkpointing: whether repeated blocks (encoder layers, residual blocks) keep their inputs only, and compute
            the rest again in the backward pass: less memory for about a third more computation. Losses and weights are the
            same.
    """

    precision: str = "float32"
    accumulate: int = 1
    clip: float | None = None
    compile: bool = False
    checkpoint_every: int | None = None
    log_every: int = 50
    trackers: Sequence[str] = ("tensorboard",)
    project: str = "limbeck"
    config: Mapping[str, Any] = field(default_factory=dict)
    progress: bool = True
    labels: Mapping[str, str | int] = field(default_factory=dict)
    device: str | None = None
    threads: int | None = None
    sync_batch_norm: bool = True
    shard: bool = False
    gradient_checkpointing: bool = False

    def __post_init__(self) -> None:
        check_tracker_names(self.trackers)
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision is {self.precision!r}; expected one of {', '.join(PRECISIONS)}")
        if self.shard and (self.compile or self.precision == "float16"):
            given = "compile: true" if self.compile else "precision: float16"
            remedy = "compile: false" if self.compile else "precision: bfloat16"
            raise ValueError(f"shard: true does not work with {given}; set {remedy}, or shard: false")
        if self.gradient_checkpointing and self.compile:
            raise ValueError(
                "gradient_checkpointing: true does not work with compile: true, which decides itself what to compute again; "
                "set one of the two to false"
            )
        if self.clip is not None and not 0 < self.clip < math.inf:
            raise ValueError(f"clip is {self.clip}; expected a finite number above 0, or None for no clipping")
        for name in ("accumulate", "log_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; expected 1 or more")

    @property
    def autocast(self) -> torch.dtype | None:
        return PRECISIONS[self.precision]
