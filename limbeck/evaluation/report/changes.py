"""Predictions that the student gained, forgot, or makes differently from its teacher: counts and examples."""

from __future__ import annotations

from limbeck.evaluation import number_format
from limbeck.evaluation.agreement import Contingency
from limbeck.evaluation.arms import CONTROL, INITIAL, TEACHER
from limbeck.evaluation.report.examples import galleries
from limbeck.evaluation.report.page import Section, paragraph, table
from limbeck.evaluation.report.unlearned import unlearned_by_class, unlearned_sentence
from limbeck.evaluation.verdict import Verdict

NAMES = {  # of an arm, and of what only the student or only that arm predicts correctly
    TEACHER: ("teacher", "only student", "only teacher"),
    CONTROL: ("control", "gained", "forgot"),
    INITIAL: ("before its training", "learned", "unlearned"),
}


def changes(verdict: Verdict) -> Section | None:
    """Counts of correct and wrong predictions, and the examples of the verdict."""
    parts = []
    if verdict.result.changes:
        parts.append(paragraph(_summary(verdict)))
        tables = [_contingency(arm, found) for arm, found in verdict.result.changes.items() if arm in NAMES]
        parts.append(f'<div class="beside">{"".join(tables)}{unlearned_by_class(verdict)}</div>')
    parts += galleries(verdict)
    return Section("changes", "Predictions that changed", *parts)


def _summary(verdict: Verdict) -> str:
    sentences = [sentence] if (sentence := unlearned_sentence(verdict)) else []
    control, teacher = verdict.result.changes.get("control"), verdict.result.changes.get("teacher")
    if control is not None:
        sentences.append(
            f"Of {control.total:,} predictions over all test items and seeds, {verdict.cause} corrected "
            f"{control.student_only:,} and broke {control.other_only:,}, compared with the control."
        )
    if teacher is not None:
        sentences.append(
            f"The student is correct {_times(teacher.student_only)} where the teacher is wrong, "
            f"and wrong {_times(teacher.other_only)} where the teacher is correct."
        )
    if verdict.result.agreement is not None:
        sentences.append(f"Student and teacher agree on {number_format.percent(verdict.result.agreement)} of the items.")
    return " ".join(sentences)


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"


def _contingency(arm: str, found: Contingency) -> str:
    other, *names = NAMES[arm]

    def cell(count: int, note: str = "") -> str:
        below = f"{note} · " if note else ""
        return f"{count:,}<small>{below}{number_format.percent(count / found.total if found.total else None)}</small>"

    rows = [
        ("student correct", cell(found.both_right), cell(found.student_only, names[0])),
        ("student wrong", cell(found.other_only, names[1]), cell(found.both_wrong)),
    ]
    return table(f"Predictions of student and {other}", ["", f"{other} correct", f"{other} wrong"], rows)
