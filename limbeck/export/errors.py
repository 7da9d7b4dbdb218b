"""What is said when a model cannot become a file, or a file cannot be read."""

from __future__ import annotations


class ExportError(RuntimeError):
    """A model that cannot be written in a format, or a file that its runtime cannot read.

    Attributes:
        reason: what is in the way.
        remedy: what the user can do about it; empty where nothing is known.
        where: `file.py:12` of the line of the model's own code, where one is to blame; it stands in the message too.
    """

    def __init__(self, reason: str, remedy: str = "", where: str | None = None) -> None:
        self.reason, self.remedy, self.where = reason.rstrip("."), remedy.rstrip("."), where
        if where is not None:
            self.reason = f"{where}: {self.reason}"
        super().__init__(". ".join(filter(None, (self.reason, self.remedy))))
