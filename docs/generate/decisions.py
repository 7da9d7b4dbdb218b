"""The decisions, listed by number from the files themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from docs.generate.markdown import table

FOLDER = Path(__file__).parents[1] / "decisions"


def pages() -> dict[str, str]:
    """Address to text."""
    rows = [(path.stem.split("-")[0], f"[{title(path)}]({path.name})") for path in files()]
    lead = "# Decisions\n\nDesign decisions: what was chosen, and why.\n"
    return {"decisions/index.md": f"{lead}\n{table(('number', 'decision'), rows)}"}


def nav() -> list[Any]:
    return ["decisions/index.md", *({title(path): f"decisions/{path.name}"} for path in files())]


def files() -> list[Path]:
    """The decisions in order."""
    return sorted(FOLDER.glob("[0-9]*.md"))


def title(path: Path) -> str:
    return path.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
