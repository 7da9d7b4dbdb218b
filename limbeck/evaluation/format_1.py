"""Reads verdicts and comparisons of format 1, whose control was called `alone`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from limbeck.evaluation.arms import current_name


def upgrade_verdict(content: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the content of a `verdict.json` of format 1 as format 2 has it. Does not validate it."""
    found = {**content, "format": 2}
    for field in ("arms", "calibration", "changes"):
        if field in found:
            found[field] = _renamed(found[field])
    if isinstance(examples := found.get("examples"), list):
        found["examples"] = [{**example, "answers": _renamed(example.get("answers"))} for example in examples]
    if "wiring" in found:
        graph = found.pop("wiring")
        found["term_graph"] = graph and {("edges" if key == "wires" else key): value for key, value in graph.items()}
    return found


def upgrade_comparison(content: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the content of a `comparison.json` of format 1 as format 2 has it. Does not validate it."""
    found = {**content, "format": 2, "rows": _renamed(content.get("rows"))}
    return found | {"control": current_name(str(content.get("control")))}


def _renamed(by_arm: Any) -> Any:
    return {current_name(arm): value for arm, value in by_arm.items()} if isinstance(by_arm, Mapping) else by_arm
