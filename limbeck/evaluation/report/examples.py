"""Galleries of test items: each with its label and the predictions of all arms."""

from __future__ import annotations

from html import escape

from limbeck.evaluation import number_format
from limbeck.evaluation.arms import ARMS, INITIAL
from limbeck.evaluation.examples import Example
from limbeck.evaluation.prediction_views import ExampleKind, ItemPrediction
from limbeck.evaluation.report.classes import class_name
from limbeck.evaluation.report.page import TITLES, paragraph
from limbeck.evaluation.verdict import Verdict

_HEADINGS: dict[ExampleKind, str] = {
    "disagreement": "Where student and teacher disagree",
    "unlearned": "What the student unlearned",
    "forgot": "What the student forgot",
    "gained": "What the student gained",
}
_NOTES: dict[str, dict[ExampleKind, str]] = {
    "classes": {
        "disagreement": "The most confident disagreements first; classes take turns.",
        "unlearned": "Correct before the training, wrong after it.",
        "forgot": "Correct in the control, wrong in the student.",
        "gained": "Wrong in the control, correct in the student.",
    },
    "numbers": {
        "disagreement": "The largest differences first. Signed numbers are differences from the label.",
        "unlearned": "Nearer to the label before the training than after it.",
        "forgot": "The control is nearer to the label.",
        "gained": "The student is nearer to the label than the control.",
    },
    "answers": {
        "disagreement": "Different answers, the most confident first. The marked words are the true answer; percentages are "
        "confidences.",
        "unlearned": "The answer before the training is better.",
        "forgot": "The control’s answer is better.",
        "gained": "The student’s answer is better than the control’s.",
    },
    "sets": {
        "disagreement": "Different predictions, the most confident first; ≈ is partly right. Percentages are confidences.",
        "unlearned": "The prediction before the training is better.",
        "forgot": "The control’s prediction is better.",
        "gained": "The student’s prediction is better than the control’s.",
    },
    "neighbours": {
        "disagreement": "The nearest neighbour of each text among the test texts, by model; texts whose neighbours differ most "
        "first. Percentages are the share of the teacher's ten nearest neighbours that the model finds.",
        "unlearned": "Before the training it found more of the teacher's neighbours.",
        "forgot": "The control finds more of the teacher's neighbours.",
        "gained": "The student finds more of the teacher's neighbours than the control.",
    },
}


def galleries(verdict: Verdict) -> list[str]:
    """The examples of the verdict by kind, as HTML."""
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
    """The kind of predictions of an example."""
    if example.label is not None:
        return "classes"
    if example.value is not None:
        return "numbers"
    if example.truth is None:
        return "neighbours"
    return "sets" if example.question is None and example.span is None else "answers"


def _item(example: Example, verdict: Verdict, reading: bool) -> str:
    lines = "".join(_line(example, arm, verdict) for arm in (*ARMS, INITIAL) if arm in example.predictions)
    seeds = "" if len(verdict.seeds) == 1 else f" · {example.seeds} of {len(verdict.seeds)} seeds"
    unit = "item" if example.question is None else "question"
    return (
        f'<li class="item{" reading" if reading else ""}">{_look(example, verdict)}\n'
        f"<div><dl{_WORDY if _in_words(example) else ''}>{_truth(example, verdict)}{lines}</dl>"
        f'<p class="soft">{unit} {example.item}{seeds}</p></div></li>'
    )


_WORDY = ' class="wordy"'


def _in_words(example: Example) -> bool:
    return any(prediction.text is not None for prediction in example.predictions.values())


def _truth(example: Example, verdict: Verdict) -> str:
    """The line of the label; neighbours have none."""
    label = label_of(example, verdict)
    title = "label" if example.truth is None else "true"
    return "" if not label else f"<dt>{title}</dt><dd><strong>{escape(label)}</strong></dd><dd></dd>"


def label_of(example: Example, verdict: Verdict) -> str:
    """The label of an item as text; empty if unknown."""
    if example.label is not None:
        return class_name(verdict, example.label)
    if example.value is not None:
        return _number(example.value)
    return example.truth or ""


def _line(example: Example, arm: str, verdict: Verdict) -> str:
    """The line of one arm: prediction, whether it is correct, confidence."""
    prediction = example.predictions[arm]
    text, style = _prediction(prediction, example, verdict)
    note = prediction.score if _family(example) == "neighbours" else prediction.confidence
    if prediction.value is not None and example.value is not None:
        shown = number_format.number(prediction.value - example.value, 2, sign=True)
    else:
        shown = "" if note is None else number_format.percent(note, 0)
    return f'<dt>{TITLES.get(arm, arm)}</dt><dd class="{style}">{escape(text)}</dd><dd class="sure">{shown}</dd>'


def _prediction(prediction: ItemPrediction, example: Example, verdict: Verdict) -> tuple[str, str]:
    """A prediction with its mark, and its CSS class."""
    if prediction.label is not None:
        good = prediction.label == example.label
        return f"{'✓' if good else '✗'} {class_name(verdict, prediction.label)}", "good" if good else "bad"
    if prediction.value is not None:
        return _number(prediction.value), ""
    text = prediction.text or "(nothing)"
    if _family(example) == "neighbours" or prediction.score is None:
        return text, ""
    mark, style = ("✓", "good") if prediction.score >= 1 else ("✗", "bad") if prediction.score <= 0 else ("≈", "")
    return f"{mark} {text}", style


def _number(value: float) -> str:
    return f"{value:.4g}".replace("-", "−")


def _look(example: Example, verdict: Verdict) -> str:
    """The item: its picture, its text or a description."""
    if example.image is not None:
        alt = escape(f"Test item {example.item}, labelled {label_of(example, verdict)}")
        return f'<img src="{escape(example.image)}" alt="{alt}" width="88" height="88">'
    if example.text is not None:
        question = "" if example.question is None else f"<p><strong>{escape(example.question)}</strong></p>"
        return f"<blockquote>{question}{_marked(example.text, example.span)}</blockquote>"
    return f'<div class="unseen">{escape(example.input or "not kept")}</div>'


def _marked(text: str, span: tuple[int, int] | None) -> str:
    """A text with the answer marked."""
    if not text.strip():
        return '<span class="soft">(empty)</span>'
    if span is None:
        return escape(text)
    start, end = span
    return f"{escape(text[:start])}<mark>{escape(text[start:end])}</mark>{escape(text[end:])}"
