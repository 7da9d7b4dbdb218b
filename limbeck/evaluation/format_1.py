"""Reads verdicts and comparisons of format 1: one student, whose control was called `alone`.

The functions here change the layout and do not validate: what is no mapping where one is expected stays as it is, for the model
to refuse.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from limbeck.evaluation.arms import current_name

_RESULT = ("retention", "retention_ci95", "gain", "compression", "speedup", "memory_ratio", "agreement", "changes", "examples")
_EXAMPLE = {"answers": "predictions", "where": "span"}
_TERM_GRAPH = {"wires": "edges"}
_NETWORK = {"parts": "modules", "hidden": "omitted", "places": "tap_modules"}


def upgrade_verdict(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a `verdict.json` of format 1 in the layout of format 2."""
    found = {**content, "format": 2}
    arms, calibration = found.pop("arms", None), found.pop("calibration", None)
    result = {field: found.pop(field) for field in _RESULT if field in found}
    graph = found.pop("wiring", None)
    return found | {
        "teacher": _arm("teacher", arms, calibration),
        "results": {
            "student": result
            | {
                "distilled": _arm("student", arms, calibration),
                "control": _arm("alone", arms, calibration),
                "changes": _arms_renamed(result.get("changes", {})),
                "examples": _each(_example, result.get("examples", [])),
            }
        },
        "term_graph": _term_graph(graph),
    }


def upgrade_comparison(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a `comparison.json` of format 1 in the layout of format 2."""
    control = current_name(str(content.get("control")))
    return {**content, "format": 2, "control": control, "rows": _arms_renamed(content.get("rows"))}


def _arm(name: str, arms: Any, calibration: Any) -> Any:
    """An arm with its calibration bins, which were in a field of the verdict."""
    arm = arms.get(name) if isinstance(arms, Mapping) else arms
    bins = calibration.get(name) if isinstance(calibration, Mapping) else None
    return {**arm, "calibration": bins} if isinstance(arm, Mapping) and bins is not None else arm


def _example(example: Any) -> Any:
    found = _renamed(example, _EXAMPLE)
    return {**found, "predictions": _arms_renamed(found.get("predictions"))} if isinstance(found, Mapping) else found


def _term_graph(graph: Any) -> Any:
    found = _renamed(graph, _TERM_GRAPH)
    if not isinstance(found, Mapping):
        return found
    return {**found, "student": _renamed(found.get("student"), _NETWORK), "teacher": _renamed(found.get("teacher"), _NETWORK)}


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    return {names.get(field, field): part for field, part in value.items()} if isinstance(value, Mapping) else value


def _arms_renamed(by_arm: Any) -> Any:
    return {current_name(arm): value for arm, value in by_arm.items()} if isinstance(by_arm, Mapping) else by_arm


def _each(function: Callable[[Any], Any], values: Any) -> Any:
    return [function(value) for value in values] if isinstance(values, list) else values
