"""Formulas for the eye: `p_T(t)_c` and `e^{−2γ}` with their letters lowered and raised, definitions on lines of their own."""

from __future__ import annotations

import html
import re

LOWERED = re.compile(r"_(?:\{([^{}]*)\}|([^\W_]+))")
RAISED = re.compile(r"\^(?:\{([^{}]*)\}|([^\W_]+))")
DEFINES = re.compile(r".*? = |\S+ [A-Z]")  # `w = …` and `h Huber`: what a letter of the formula stands for


def typeset(formula: str) -> str:
    """An HTML block: the formula, then a line for each of its definitions."""
    first, *rest = lines(formula)
    where = "".join(f'<div class="formula-where">{_letters(line)}</div>' for line in rest)
    return f'<div class="formula"><div>{_letters(first)}</div>{where}</div>\n'


def inline(formula: str) -> str:
    """The formula without its definitions, for tables."""
    return f'<span class="formula-inline">{_letters(lines(formula)[0])}</span>'


def lines(formula: str) -> list[str]:
    """Cut before each definition, at commas outside brackets."""
    found: list[str] = []
    for part in _at_commas(formula):
        if not found or DEFINES.match(part):
            found.append(part)
        else:
            found[-1] += f", {part}"
    return found


def _at_commas(text: str) -> list[str]:
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]


def _letters(text: str) -> str:
    text = html.escape(text).replace("*", "&#42;")
    text = LOWERED.sub(lambda match: f"<sub>{match[1] or match[2]}</sub>", text)
    text = RAISED.sub(lambda match: f"<sup>{match[1] or match[2]}</sup>", text)
    return text.replace("|", "&#124;")
