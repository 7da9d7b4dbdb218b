"""What changed hands: answers that the student forgot, gained, or gives otherwise than its teacher; counted, and to look at."""

from __future__ import annotations

from limbeck.evaluation import number_format
from limbeck.evaluation.agreement import Contingency
from limbeck.evaluation.report.examples import galleries
from limbeck.evaluation.report.page import TITLES, Section, paragraph, table
from limbeck.evaluation.verdict import Verdict


def changes(verdict: Verdict) -> Section | None:
    """Counts of right and wrong answers, and the items chosen when the run was judged."""
    parts = []
    if verdict.result.changes:
        parts.append(paragraph(_summary(verdict)))
        tables = [_quadrants(arm, found) for arm, found in verdict.result.changes.items() if arm in TITLES]
        parts.append(f'<div class="beside">{"".join(tables)}</div>')
    parts += galleries(verdict)
    return Section("changes", "What changed", *parts)


def _summary(verdict: Verdict) -> str:
    said = []
    control, teacher = verdict.result.changes.get("control"), verdict.result.changes.get("teacher")
    if control is not None:
        said.append(
            f"Of {control.total:,} answers over all test items and seeds, distillation mended {control.student_only:,} "
            f"and spoilt {control.other_only:,}, against the control."
        )
    if teacher is not None:
        said.append(
            f"The student is right {teacher.student_only:,} times where the teacher is wrong, "
            f"and wrong {teacher.other_only:,} times where the teacher is right."
        )
    if verdict.result.agreement is not None:
        said.append(f"Both give the same answer to {number_format.percent(verdict.result.agreement)} of the items.")
    return " ".join(said)


def _quadrants(arm: str, found: Contingency) -> str:
    other = TITLES[arm]
    names = ("gained", "forgot") if arm == "control" else ("only the student", "only the teacher")

    def cell(count: int, note: str = "") -> str:
        below = f"{note} · " if note else ""
        return f"{count:,}<small>{below}{number_format.percent(count / found.total if found.total else None)}</small>"

    rows = [
        ("student right", cell(found.both_right), cell(found.student_only, names[0])),
        ("student wrong", cell(found.other_only, names[1]), cell(found.both_wrong)),
    ]
    return table(f"The student's answers beside the {other}’s", ["", f"{other} right", f"{other} wrong"], rows)
