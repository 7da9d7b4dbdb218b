"""Kinds of faults, each with a test of the right behaviour.

    python -m benchmarks.faults kinds

A kind has many members: its test, and others beside it, hold several. The names of the tests are looked up here; that they pass
is what the suite shows.
"""

from __future__ import annotations

import ast
import json
from pathlib import Path

from benchmarks.bars import record

TESTS = Path(__file__).parents[1] / "tests"
KINDS: dict[str, str] = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))


def has_test(place: str) -> bool:
    """Whether there is a test of this file and name, which asserts something."""
    path, name = place.split("::")
    if not (TESTS / path).is_file():
        return False
    found = (node for node in ast.parse((TESTS / path).read_text(encoding="utf-8")).body if isinstance(node, ast.FunctionDef))
    return any(node.name == name and any(map(_checks, ast.walk(node))) for node in found)


def _checks(node: ast.AST) -> bool:
    return isinstance(node, ast.Assert) or (isinstance(node, ast.Attribute) and node.attr in ("raises", "warns"))


def measure(*, dry: bool) -> None:
    found = sum(map(has_test, KINDS.values()))
    print(f"kinds of faults with a test: {found} of {len(KINDS)}")
    if not dry:
        bar, note = f"{len(KINDS)} of {len(KINDS)}", "the suite of the package runs them"
        command = "python -m benchmarks.faults kinds"
        record("faults", "kinds of faults with a test", bar, found, None, found == len(KINDS), command, "tests/", 1, note)
