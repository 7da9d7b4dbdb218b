"""What changed hands: answers that the student forgot, gained, or gives otherwise than its teacher; counted, and to look at."""

from __future__ import annotations

from html import escape

from limbeck.verdict import wording
from limbeck.verdict.evidence import Example, Kind, Quadrants
from limbeck.verdict.report.classes import class_name
from limbeck.verdict.report.page import TITLES, Section, paragraph, table
from limbeck.verdict.verdict import ARMS, Verdict

_KINDS: tuple[tuple[Kind, str, str], ...] = (
    ("disagreement", "Where student and teacher disagree", "The surest disagreements first, every class in turn."),
    ("forgot", "What the student forgot", "Right in the control, wrong in the student."),
    ("gained", "What the student gained", "Wrong in the control, right in the student."),
)
_TEXT = 60  # shorter texts stand beside their answers, as pictures do


def changes(verdict: Verdict) -> Section | None:
    """Counts of right and wrong answers, and the items chosen when the run was judged."""
    parts = []
    if verdict.changes:
        parts.append(paragraph(_summary(verdict)))
        tables = [_quadrants(arm, found) for arm, found in verdict.changes.items() if arm in TITLES]
        parts.append(f'<div class="beside">{"".join(tables)}</div>')
    parts += [_gallery(kind, heading, note, verdict) for kind, heading, note in _KINDS]
    return Section("changes", "What changed", *parts)


def _summary(verdict: Verdict) -> str:
    said = []
    alone, teacher = verdict.changes.get("alone"), verdict.changes.get("teacher")
    if alone is not None:
        said.append(
            f"Of {alone.total:,} answers over all test items and seeds, distillation mended {alone.student_only:,} "
            f"and spoilt {alone.other_only:,}, against the control."
        )
    if teacher is not None:
        said.append(
            f"The student is right {teacher.student_only:,} times where the teacher is wrong, "
            f"and wrong {teacher.other_only:,} times where the teacher is right."
        )
    if verdict.agreement is not None:
        said.append(f"Both give the same answer to {wording.percent(verdict.agreement)} of the items.")
    return " ".join(said)


def _quadrants(arm: str, found: Quadrants) -> str:
    other = TITLES[arm]
    names = ("gained", "forgot") if arm == "alone" else ("student alone", "teacher alone")

    def cell(count: int, note: str = "") -> str:
        below = f"{note} · " if note else ""
        return f"{count:,}<small>{below}{wording.percent(count / found.total if found.total else None)}</small>"

    rows = [
        ("student right", cell(found.both_right), cell(found.student_only, names[0])),
        ("student wrong", cell(found.other_only, names[1]), cell(found.both_wrong)),
    ]
    return table(f"The student's answers beside the {other}’s", ["", f"{other} right", f"{other} wrong"], rows)


def _gallery(kind: Kind, heading: str, note: str, verdict: Verdict) -> str:
    found = [example for example in verdict.examples if example.kind == kind]
    if not found:
        return ""
    texts = any(example.text is not None and len(example.text) > _TEXT for example in found)
    items = "\n".join(_item(example, verdict, texts) for example in found)
    style = "gallery texts" if texts else "gallery"
    return f'<h3>{heading}</h3>{paragraph(note, soft=True)}<ul class="{style}">{items}</ul>'


def _item(example: Example, verdict: Verdict, reading: bool) -> str:
    label = escape(class_name(verdict, example.label))
    lines = "".join(_line(example, arm, verdict) for arm in ARMS if arm in example.answers)
    seeds = "" if len(verdict.seeds) == 1 else f" · {example.seeds} of {len(verdict.seeds)} seeds"
    return (
        f'<li class="item{" reading" if reading else ""}">{_look(example, label)}\n'
        f"<div><dl><dt>label</dt><dd><strong>{label}</strong></dd><dd></dd>{lines}</dl>"
        f'<p class="soft">item {example.item}{seeds}</p></div></li>'
    )


def _line(example: Example, arm: str, verdict: Verdict) -> str:
    """What one arm answered, whether that is right, and how sure it was."""
    answer = example.answers[arm]
    good = answer.label == example.label
    said = f"{'✓' if good else '✗'} {escape(class_name(verdict, answer.label))}"
    sure = wording.percent(answer.confidence, 0)
    return f'<dt>{TITLES[arm]}</dt><dd class="{"good" if good else "bad"}">{said}</dd><dd class="sure">{sure}</dd>'


def _look(example: Example, label: str) -> str:
    """The item itself: its picture, its text, or a word about what it is."""
    if example.image is not None:
        alt = f"Test item {example.item}, labelled {label}"
        return f'<img src="{escape(example.image)}" alt="{alt}" width="88" height="88">'
    if example.text is not None:
        return f"<blockquote>{escape(example.text)}</blockquote>"
    return f'<div class="unseen">{escape(example.input or "not kept")}</div>'
