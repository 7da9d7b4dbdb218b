"""What a student that started from trained weights has unlearned: right before its training, wrong after it."""

from __future__ import annotations

from html import escape

from limbeck.evaluation import number_format
from limbeck.evaluation.arms import INITIAL
from limbeck.evaluation.report.classes import class_name
from limbeck.evaluation.report.page import arm_title, table
from limbeck.evaluation.verdict import Verdict

ROWS = 12


def unlearned_sentence(verdict: Verdict) -> str:
    """How many predictions were right before the training and are wrong after it; empty for a student that knew nothing."""
    found = verdict.result.changes.get(INITIAL)
    if found is None:
        return ""
    before = found.both_right + found.other_only
    share = number_format.percent(found.other_only / before if before else None)
    return (
        f"Before its training the student was right {before:,} times; of these it unlearned {found.other_only:,} ({share}), "
        f"and it learned {found.student_only:,} others."
    )


def unlearned_by_class(verdict: Verdict) -> str:
    """A table of the classes on which the student got worse during its training, the worst first; empty if there are none."""
    before, after = verdict.result.controls.get(INITIAL), verdict.result.distilled
    if before is None or not before.per_class or not after.per_class:
        return ""
    pairs = enumerate(zip(before.per_class, after.per_class, strict=True))
    lost = [(one - other, at) for at, (one, other) in pairs if one is not None and other is not None and one > other]
    rows = [
        (
            escape(class_name(verdict, at)),
            *(number_format.measured(arm.per_class[at], digits=1) for arm in (before, after) if arm.per_class),
            number_format.number(-100 * change, 1, sign=True),
        )
        for change, at in sorted(lost, key=lambda one: (-one[0], one[1]))[:ROWS]
    ]
    titles = ["class", "before the training", arm_title("student"), "points"]
    return table("Classes on which the student got worse since its training began", titles, rows) if rows else ""
