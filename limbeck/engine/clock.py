"""The position of a run, and what it has cost so far."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Clock:
    """The position of a run, and what it has cost so far. It is part of every checkpoint.

    Attributes:
        stage: index of the stage.
        step: steps done in this stage; a step is one pass over the stage's updates.
        updates: updates done since the start of the run.
        teacher_items: items that frozen models were run on.
        wall_s: seconds of training.
        best: best validation metric so far.
        waited: evaluations since then.
        finished: whether all stages are done.
    """

    stage: int = 0
    step: int = 0
    updates: int = 0
    teacher_items: int = 0
    wall_s: float = 0.0
    best: float | None = None
    waited: int = 0
    finished: bool = False
