"""Descriptions of objectives: name, kind of knowledge, formula, source and defaults."""

from __future__ import annotations

import inspect
from typing import Any, cast

from limbeck.core.objective import Objective, registry


def describe(name: str) -> dict[str, Any]:
    """The fields that `limbeck methods` shows of an objective."""
    kind = cast(type[Objective], registry[name])
    parameters = inspect.signature(kind.__init__).parameters.values()
    defaults = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
    return {
        "name": name,
        "knowledge": kind.knowledge,
        "formula": kind.formula,
        "source": kind.source,
        "defaults": defaults,
        "usual_weight": kind.weight,
        "needs_labels": kind.needs_target,
        "compares_items": kind.over_batch,
        "summary": (inspect.getdoc(kind) or "").split("\n\n")[0].replace("\n", " "),
    }
