"""A data collator for the columns of two tokenizers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

TEACHER_PREFIX = "teacher_"  # of columns that only the teacher reads, from its own tokenizer
Collator = Callable[[list[dict[str, Any]]], Mapping[str, Any]]


@dataclass(frozen=True)
class TwoTokenizerCollator:
    """Collates columns whose names begin with `teacher_` with the teacher's collator, all others with the student's."""

    student: Collator
    teacher: Collator

    @property
    def tokenizer(self) -> Any:
        """The student's tokenizer, which a Trainer saves with the student."""
        return getattr(self.student, "tokenizer", None)

    def __call__(self, items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        ours = [{name: value for name, value in item.items() if not name.startswith(TEACHER_PREFIX)} for item in items]
        theirs = [strip_prefix(item) for item in items]
        batch = dict(self.student(ours))
        if any(theirs):
            batch |= {TEACHER_PREFIX + name: value for name, value in self.teacher(theirs).items()}
        return batch


def strip_prefix(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the teacher's columns without their prefix."""
    return {name.removeprefix(TEACHER_PREFIX): value for name, value in columns.items() if name.startswith(TEACHER_PREFIX)}
