"""The error of exports."""

from __future__ import annotations


class ExportError(RuntimeError):
    """Raised if a model cannot be written in a format, or if a runtime cannot read a file.

    Attributes:
        reason: why it failed.
        remedy: what to do about it; empty if unknown.
        where: `file.py:12`, the line of the model's code that caused it, or None; it is part of the message.
    """

    def __init__(self, reason: str, remedy: str = "", where: str | None = None) -> None:
        self.reason, self.remedy, self.where = reason.rstrip("."), remedy.rstrip("."), where
        if where is not None:
            self.reason = f"{where}: {self.reason}"
        super().__init__(". ".join(filter(None, (self.reason, self.remedy))))


class UnknownShapeError(ExportError):
    """Raised if neither a file nor its user says which shape its input has."""
