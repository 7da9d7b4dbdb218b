"""The end of a page: the recipe, the papers to cite, and the environment."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

import yaml

from limbeck.evaluation.citations import bibtex
from limbeck.evaluation.report.page import Section, paragraph, table
from limbeck.evaluation.verdict import Verdict
from limbeck.utils.registry import UnknownNameError


def recipe(path: Path) -> Section:
    """The resolved recipe of a run, or a note that it is missing."""
    if not path.exists():
        return Section("recipe", "Recipe", paragraph("recipe.yaml is missing, so the run cannot be repeated from its folder."))
    text = path.read_text(encoding="utf-8", errors="replace")
    note = "The resolved recipe with all defaults. Saved as a file, it repeats the run."
    return Section("recipe", "Recipe", paragraph(note, soft=True), block("Recipe", text, columns=True))


def papers(path: Path) -> Section | None:
    """BibTeX of the papers behind a recipe; None if it is missing or names parts that are not installed here."""
    try:
        found = bibtex(read(path))
    except (ValueError, KeyError, TypeError, AttributeError, UnknownNameError):
        return None
    return Section("papers", "Papers to cite", block("BibTeX", found)) if found else None


def read(path: Path) -> Mapping[str, Any]:
    """The fields of a recipe on disk; empty if there is no such file or no recipe in it."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return content if isinstance(content, dict) else {}


def environment(verdict: Verdict) -> Section:
    facts = {**verdict.environment, "seeds": ", ".join(map(str, verdict.seeds))}
    if verdict.cost is not None and verdict.federation is None:
        facts["items processed by the teacher"] = f"{verdict.cost.teacher_items:,}"
    return environment_of(facts)


def environment_of(facts: Mapping[str, str | int]) -> Section:
    rows = [(escape(name), escape(str(value))) for name, value in facts.items()]
    return Section("environment", "Environment", table("Where this was measured", ["", "value"], rows, text=1))


def block(name: str, text: str, *, columns: bool = False) -> str:
    """Preformatted text in a frame, in several columns if `columns`."""
    style = "columns" if columns else "plain"
    return f'<pre class="{style}" role="region" aria-label="{escape(name)}">{escape(text)}</pre>'
