"""The section on inputs that were made without data: a grid by class, beside the nearest training images."""

from __future__ import annotations

from html import escape

from limbeck.evaluation import number_format
from limbeck.evaluation.made_inputs import MadeInput
from limbeck.evaluation.report.classes import class_name
from limbeck.evaluation.report.page import Section, paragraph
from limbeck.evaluation.verdict import Verdict

SAID = "Some of each class, as the teacher sees them; of each class first those that it is surest of."
NEAREST = (
    "On the right the training image with the smallest difference, the root mean square over pixels from 0 to 1; in brackets "
    "the difference of that image from the nearest other training image. A made input that is nearer than this may show a "
    "training image."
)


def made_inputs(verdict: Verdict) -> Section | None:
    """The section, if the run has made images."""
    if not verdict.made_inputs:
        return None
    items = "\n".join(_item(made, verdict) for made in verdict.made_inputs)
    compared = any(made.nearest is not None for made in verdict.made_inputs)
    note = f"{SAID} {NEAREST}" if compared else SAID
    return Section(
        "made", "Inputs that were made without data", paragraph(note, soft=True), f'<ul class="gallery made">{items}</ul>'
    )


def _item(made: MadeInput, verdict: Verdict) -> str:
    name = class_name(verdict, made.label)
    pictures = _picture(made.image, f"Made input, to the teacher {name}")
    line = f"{name} · {number_format.percent(made.confidence, 0)}"
    if made.nearest is not None and made.difference is not None and made.typical is not None:
        pictures += _picture(made.nearest, "The nearest training image")
        near = made.difference < made.typical
        line += f" · {made.difference:.2f} ({made.typical:.2f})" + (" · nearer than usual" if near else "")
    return f'<li class="made">{pictures}<p class="soft">{escape(line)}</p></li>'


def _picture(image: str, alt: str) -> str:
    return f'<img src="{escape(image)}" alt="{escape(alt)}" width="72" height="72">'
