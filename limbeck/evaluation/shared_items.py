"""Test items on which a run has trained, or by which it has chosen a state: what is measured on them is memory."""

from __future__ import annotations

from limbeck.evaluation.record import Record


class SharedItems(Record):
    """Items of the test data that a run has seen before.

    Attributes:
        training: those among the training data, of teacher or students.
        validation: those among the validation data alone.
        items: of the test data.
        rows: the first few of them, counted from 0.
    """

    training: int
    validation: int
    items: int
    rows: list[int]

    @property
    def count(self) -> int:
        return self.training + self.validation

    def describe(self) -> str:
        """One clause that counts and names them."""
        parts = []
        if self.training:
            parts.append(f"{self.training:,} of {self.items:,} items are in the training data too")
        if self.validation:
            parts.append(f"{self.validation:,} of {self.items:,} items are in the validation data too")
        more = ", …" if self.count > len(self.rows) else ""
        return f"test data: {' and '.join(parts)} (rows {', '.join(map(str, self.rows))}{more})"
