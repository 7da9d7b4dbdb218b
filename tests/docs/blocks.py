"""Runs a block of code of the guide exactly as it is printed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

GUIDE = Path(__file__).parents[2] / "docs" / "guide"


def run_block(page: str, part: str) -> dict[str, Any]:
    """Runs the one Python block of a page that contains `part`; returns its variables."""
    blocks = re.findall(r"^```python\n(.*?)^```", (GUIDE / page).read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    (block,) = (block for block in blocks if part in block)
    found: dict[str, Any] = {}
    exec(block, found)
    return found
