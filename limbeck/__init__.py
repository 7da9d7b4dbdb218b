"""Limbeck: knowledge distillation, from a teacher to a proven student.

    outcome = limbeck.distill(teacher, student, train, test)                  # one call, good defaults
    limbeck.Distillation(student, teacher, terms=[...]).fit(train)            # the parts, chosen
    criterion = limbeck.Criterion(terms, student, teacher)                    # your own loop

Names load when they are first used, so that importing costs little.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from limbeck import models, objectives
    from limbeck.actors import average, frozen, snapshot, trained
    from limbeck.criterion import Criterion
    from limbeck.distillation import Distillation, Outcome, Phase, Training, distill
    from limbeck.engine import Optimizer, Run, Settings, Stage, Step, Validation, epochs, steps
    from limbeck.sources import Dataset, Items, Pipeline, load_items
    from limbeck.terms import Term
    from limbeck.verdict import Verdict

_HOMES = {
    "limbeck.actors": ("average", "frozen", "snapshot", "trained"),
    "limbeck.criterion": ("Criterion",),
    "limbeck.distillation": ("Distillation", "Outcome", "Phase", "Training", "distill"),
    "limbeck.engine": ("Optimizer", "Run", "Settings", "Stage", "Step", "Validation", "epochs", "steps"),
    "limbeck.sources": ("Dataset", "Items", "Pipeline", "load_items"),
    "limbeck.terms": ("Term",),
    "limbeck.verdict": ("Verdict",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}
_MODULES = ("models", "objectives")

__all__ = [
    "Criterion",
    "Dataset",
    "Distillation",
    "Items",
    "Optimizer",
    "Outcome",
    "Phase",
    "Pipeline",
    "Run",
    "Settings",
    "Stage",
    "Step",
    "Term",
    "Training",
    "Validation",
    "Verdict",
    "average",
    "distill",
    "epochs",
    "frozen",
    "load_items",
    "models",
    "objectives",
    "snapshot",
    "steps",
    "trained",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    if name in _MODULES:
        return import_module(f"limbeck.{name}")
    raise AttributeError(f"module 'limbeck' has no attribute {name!r}")
