"""Limbeck: knowledge distillation, from a teacher to a proven student.

    outcome = limbeck.distill(teacher, student, train, test)                  # one call, good defaults
    limbeck.Distillation(student, teacher, terms=[...]).fit(train)            # the parts, chosen
    criterion = limbeck.Criterion(terms, student, teacher)                    # your own loop

Names load when they are first used, so that importing costs little.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from limbeck.utils.lazy_imports import lazy_attributes

if TYPE_CHECKING:
    from limbeck import models, objectives
    from limbeck.core.actors import Variant, average, frozen, snapshot, trained
    from limbeck.core.criterion import Criterion
    from limbeck.core.teachers import Ensemble
    from limbeck.core.terms import Term
    from limbeck.data import Dataset, Items, Pipeline, load_items
    from limbeck.engine import Optimizer, Run, Settings, Stage, Update, Validation, epochs, steps
    from limbeck.engine.training import Training
    from limbeck.evaluation import Verdict
    from limbeck.experiment.distill import Outcome, distill
    from limbeck.experiment.distillation import Distillation
    from limbeck.models.from_teacher import FromTeacher

_HOMES = {
    "limbeck.core.actors": ("Variant", "average", "frozen", "snapshot", "trained"),
    "limbeck.core.criterion": ("Criterion",),
    "limbeck.experiment.distill": ("Outcome", "distill"),
    "limbeck.experiment.distillation": ("Distillation",),
    "limbeck.engine": ("Optimizer", "Run", "Settings", "Stage", "Update", "Validation", "epochs", "steps"),
    "limbeck.engine.training": ("Training",),
    "limbeck.models.from_teacher": ("FromTeacher",),
    "limbeck.data": ("Dataset", "Items", "Pipeline", "load_items"),
    "limbeck.core.teachers": ("Ensemble",),
    "limbeck.core.terms": ("Term",),
    "limbeck.evaluation": ("Verdict",),
}

__all__ = [
    "Criterion",
    "Dataset",
    "Distillation",
    "Ensemble",
    "FromTeacher",
    "Items",
    "Optimizer",
    "Outcome",
    "Pipeline",
    "Run",
    "Settings",
    "Stage",
    "Term",
    "Training",
    "Update",
    "Validation",
    "Variant",
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

__getattr__ = lazy_attributes(__name__, _HOMES, modules=("models", "objectives"))
