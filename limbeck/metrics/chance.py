"""Whether a classifier is better than guessing."""

from __future__ import annotations

import math

Z = 1.959964  # of a two-sided 95 % interval


def wilson_interval(right: int, total: int) -> tuple[float, float]:
    """The 95 % interval of a share of `total` independent trials (Wilson 1927), which holds for few trials and extreme shares.

    Raises:
        ValueError: no trials, or more successes than trials.
    """
    if not 0 <= right <= total or total < 1:
        raise ValueError(f"{right} of {total}: expected 0 to {total} of at least one")
    share, spread = right / total, Z * Z / total
    centre = (share + spread / 2) / (1 + spread)
    half = math.sqrt(spread * (share * (1 - share) + spread / 4)) / (1 + spread)
    return max(0.0, centre - half), min(1.0, centre + half)


def is_at_chance(right: int, total: int, chance: float) -> bool:
    """Whether a share of correct predictions cannot be told from guessing: its 95 % interval begins at `chance` or below.

    Args:
        right, total: correct predictions, and all.
        chance: what guessing reaches, such as the share of the most frequent class.
    """
    return wilson_interval(right, total)[0] <= chance
