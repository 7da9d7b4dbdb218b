"""The arms of a run: which models its verdict compares."""

from __future__ import annotations

ARMS = ("teacher", "control", "student")
_FORMER_NAMES = {"alone": "control"}  # in runs written before verdicts of format 2


def current_name(arm: str) -> str:
    """The name of an arm as this version writes it, given the name in a file that an earlier version may have written."""
    return _FORMER_NAMES.get(arm, arm)
