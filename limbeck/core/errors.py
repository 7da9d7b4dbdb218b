"""Errors of the core."""

from __future__ import annotations


class TapError(ValueError):
    """A tap that does not exist or yields no tensor."""


class AdapterError(ValueError):
    """Two shapes that no adapter can make equal."""


class TermError(ValueError):
    """An error in one term; the message names the term and its taps."""
