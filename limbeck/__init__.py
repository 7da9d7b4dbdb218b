"""Limbeck: knowledge distillation, from a teacher to a proven student.

    outcome = limbeck.distill(teacher, student, train, test)                  # one call, good defaults
    limbeck.Distillation(student, teacher, terms=[...]).fit(train)            # the parts, chosen
    criterion = limbeck.Criterion(terms, student, teacher)                    # your own loop

Names load when they are first used, so that importing costs little.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from limbeck.lazy import attributes

if TYPE_CHECKING:
    from limbeck import models, objectives
    from limbeck.actors import average, frozen, snapshot, trained
    from limbeck.criterion import Criterion
    from limbeck.distillation import Distillation, Outcome, distill
    from limbeck.engine import Optimizer, Run, Settings, Stage, Step, Validation, epochs, steps
    from limbeck.plan import FromTeacher, Phase, Training
    from limbeck.sources import Dataset, Items, Pipeline, load_items
    from limbeck.terms import Term
    from limbeck.verdict import Verdict

_HOMES = {
    "limbeck.actors": ("average", "frozen", "snapshot", "trained"),
    "limbeck.criterion": ("Criterion",),
    "limbeck.distillation": ("Distillation", "Outcome", "distill"),
    "limbeck.engine": ("Optimizer", "Run", "Settings", "Stage", "Step", "Validation", "epochs", "steps"),
    "limbeck.plan": ("FromTeacher", "Phase", "Training"),
    "limbeck.sources": ("Dataset", "Items", "Pipeline", "load_items"),
    "limbeck.terms": ("Term",),
    "limbeck.verdict": ("Verdict",),
}

__all__ = [
    "Criterion",
    "Dataset",
    "Distillation",
    "FromTeacher",
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

__getattr__ = attributes(__name__, _HOMES, modules=("models", "objectives"))
