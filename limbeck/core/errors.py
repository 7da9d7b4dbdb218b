"""Errors of the core, all of them raised before the first step."""

from __future__ import annotations


class TapError(ValueError):
    """A tap that does not exist or gives no tensor."""


class AdapterError(ValueError):
    """Two shapes that no adapter can bridge."""


class TermError(ValueError):
    """What went wrong in one term, with the taps it reads."""
