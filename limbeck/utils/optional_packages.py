"""Packages that only some features need."""

from __future__ import annotations


class MissingPackageError(ImportError, ValueError):
    """An optional package is not installed; the message has the command that installs it."""
