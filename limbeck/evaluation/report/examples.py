"""Test items to look at: what each is, what is true of it, and what the arms said."""

from __future__ import annotations

from html import escape

from limbeck.evaluation import number_format
from limbeck.evaluation.arms import ARMS
from limbeck.evaluation.examples import Example
from limbeck.evaluation.prediction_views import ExampleKind, ItemPrediction
from limbeck.evaluation.report.classes import class_name
from limbeck.evaluation.report.page import TITLES, paragraph
from limbeck.evaluation.verdict import Verdict

_HEADINGS: dict[ExampleKind, str] = {
    "disagreement": "Where student and teacher disagree",
    "forgot": "What the student forgot",
    "gained": "What the student gained",
}
_NOTES: dict[str, dict[ExampleKind, str]] = {
    "classes": {
        "disagreement": "The surest disagreements first, every class in turn.",
        "forgot": "Right in the control, wrong in the student.",
        "gained": "Wrong in the control, right in the student.",
    },
    "numbers": {
        "disagreement": "The largest differences first. Signed numbers are distances from the label.",
        "forgot": "The control was nearer to the label.",
        "gained": "The student is nearer to the label than the control.",
    },
    "answers": {
        "disagreement": "Different answers, the surest first. The marked words are the true answer; percentages are how sure "
        "each model was.",
        "forgot": "Better answered by the control.",
        "gained": "Better answered by the student than by the control.",
    },
    "neighbours": {
        "disagreement": "For each text its nearest neighbour among the test texts, as each model sees it; texts first whose "
        "neighbours differ most. Percentages are the share of the teacher's ten nearest that the model finds.",
        "forgot": "The control finds more of the teacher's neighbours.",
        "gained": "The student finds more of the teacher's neighbours than the control.",
    },
}


def galleries(verdict: Verdict) -> list[str]:
    """The items chosen when the run was judged, kind by kind."""
    return [_gallery(kind, heading, verdict) for kind, heading in _HEADINGS.items()]


def _gallery(kind: ExampleKind, heading: str, verdict: Verdict) -> str:
    found = [example for example in verdict.result.examples if example.kind == kind]
    if not found:
        return ""
    texts = any(example.text is not None for example in found)
    items = "\n".join(_item(example, verdict, texts) for example in found)
    style = "gallery texts" if texts else "gallery"
    note = paragraph(_NOTES[_family(found[0])][kind], soft=True)
    return f'<h3>{heading}</h3>{note}<ul class="{style}">{items}</ul>'


def _family(example: Example) -> str:
    """Which kind of answers an example holds."""
    if example.label is not None:
        return "classes"
    if example.value is not None:
        return "numbers"
    return "neighbours" if example.truth is None else "answers"


def _item(example: Example, verdict: Verdict, reading: bool) -> str:
    lines = "".join(_line(example, arm, verdict) for arm in ARMS if arm in example.predictions)
    seeds = "" if len(verdict.seeds) == 1 else f" · {example.seeds} of {len(verdict.seeds)} seeds"
    unit = "item" if example.question is None else "question"
    return (
        f'<li class="item{" reading" if reading else ""}">{_look(example, verdict)}\n'
        f"<div><dl{_WORDY if _in_words(example) else ''}>{_truth(example, verdict)}{lines}</dl>"
        f'<p class="soft">{unit} {example.item}{seeds}</p></div></li>'
    )


_WORDY = ' class="wordy"'


def _in_words(example: Example) -> bool:
    return any(answer.text is not None for answer in example.predictions.values())


def _truth(example: Example, verdict: Verdict) -> str:
    """The line of what is true; of neighbours nothing is."""
    said = label_of(example, verdict)
    title = "label" if example.truth is None else "true"
    return "" if not said else f"<dt>{title}</dt><dd><strong>{escape(said)}</strong></dd><dd></dd>"


def label_of(example: Example, verdict: Verdict) -> str:
    """What is true of an item, as text; empty where nothing is known."""
    if example.label is not None:
        return class_name(verdict, example.label)
    if example.value is not None:
        return _number(example.value)
    return example.truth or ""


def _line(example: Example, arm: str, verdict: Verdict) -> str:
    """What one arm answered, how good that is, and how sure it was."""
    answer = example.predictions[arm]
    said, style = _said(answer, example, verdict)
    note = answer.score if _family(example) == "neighbours" else answer.confidence
    if answer.value is not None and example.value is not None:
        shown = number_format.number(answer.value - example.value, 2, sign=True)
    else:
        shown = "" if note is None else number_format.percent(note, 0)
    return f'<dt>{TITLES[arm]}</dt><dd class="{style}">{escape(said)}</dd><dd class="sure">{shown}</dd>'


def _said(answer: ItemPrediction, example: Example, verdict: Verdict) -> tuple[str, str]:
    """An answer with its mark, and the class of style that goes with it."""
    if answer.label is not None:
        good = answer.label == example.label
        return f"{'✓' if good else '✗'} {class_name(verdict, answer.label)}", "good" if good else "bad"
    if answer.value is not None:
        return _number(answer.value), ""
    said = answer.text or "(nothing)"
    if _family(example) == "neighbours" or answer.score is None:
        return said, ""
    mark, style = ("✓", "good") if answer.score >= 1 else ("✗", "bad") if answer.score <= 0 else ("≈", "")
    return f"{mark} {said}", style


def _number(value: float) -> str:
    return f"{value:.4g}".replace("-", "−")


def _look(example: Example, verdict: Verdict) -> str:
    """The item itself: its picture, its text, or a word about what it is."""
    if example.image is not None:
        alt = escape(f"Test item {example.item}, labelled {label_of(example, verdict)}")
        return f'<img src="{escape(example.image)}" alt="{alt}" width="88" height="88">'
    if example.text is not None:
        question = "" if example.question is None else f"<p><strong>{escape(example.question)}</strong></p>"
        return f"<blockquote>{question}{_marked(example.text, example.span)}</blockquote>"
    return f'<div class="unseen">{escape(example.input or "not kept")}</div>'


def _marked(text: str, where: tuple[int, int] | None) -> str:
    """A text with the piece that holds the answer marked."""
    if where is None:
        return escape(text)
    start, end = where
    return f"{escape(text[:start])}<mark>{escape(text[start:end])}</mark>{escape(text[end:])}"
