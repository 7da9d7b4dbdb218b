"""Processor time of things that take turns, so that all see the machine in the same state."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np


def take_turns(parts: Mapping[str, Callable[[], object]], turns: int) -> dict[str, list[float]]:
    """Runs each part once a turn; returns processor seconds of each turn, by part. A first turn warms up and is left out."""
    seconds: dict[str, list[float]] = {name: [] for name in parts}
    for turn in range(turns + 1):
        for name, run in parts.items():
            began = time.process_time()
            run()
            if turn:
                seconds[name].append(time.process_time() - began)
    return seconds


def median_with_interval(values: Sequence[float]) -> tuple[float, tuple[float, float]]:
    """The median, and its 95 % interval by bootstrap over turns."""
    drawn = np.random.default_rng(0).choice(np.asarray(values), (2000, len(values)))
    low, high = np.quantile(np.median(drawn, axis=1), [0.025, 0.975])
    return statistics.median(values), (float(low), float(high))
