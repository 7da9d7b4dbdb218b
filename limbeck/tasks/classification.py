"""Classification: one class per item."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.core.terms import Term
from limbeck.data import Items
from limbeck.objectives import HardTargets, SoftTargets
from limbeck.tasks.base import Task


class Classification(Task):
    """One of several classes per item; metrics: accuracy, F1 or Matthews' correlation."""

    name = "classification"
    metrics = ("accuracy", "f1", "matthews")
    outputs_classes = True

    def hard_terms(self, student: str = "student") -> list[Term]:
        return [Term(HardTargets(), student=student)]

    def soft_terms(self, temperature: float, student: str = "student") -> list[Term]:
        return [Term(SoftTargets(temperature=temperature), student=student)]

    def compute_metrics(self, outputs: Tensor, items: Items) -> Mapping[str, float]:
        assert items.target is not None
        known = items.target >= 0
        logits, target = outputs[known], items.target[known]
        loss = nn.functional.cross_entropy(logits, target)
        value = self.metric.compute(logits[None].numpy(), target.numpy())[0]
        return {self.metric.name: float(value), "cross_entropy": float(loss)}

    def to_predictions(self, outputs: Sequence[Tensor], items: Items) -> Mapping[str, Any]:
        assert items.target is not None
        return {"logits": torch.stack(list(outputs)).numpy(), "labels": items.target.numpy()}

    def check(self, model: nn.Module, items: Items, who: str, data: str = "data", reads: str | None = None) -> None:
        super().check(model, items, who, data, reads)
        check_class_order(model, items.class_names, who, data)

    def check_outputs(self, outputs: Tensor, items: Items, who: str, data: str) -> None:
        if outputs.ndim != 2:
            raise ValueError(f"the {who} gives logits of shape {tuple(outputs.shape)}; classification needs [items, classes]")
        assert items.target is not None
        if items.target.is_floating_point() or items.target.ndim != 1:
            raise ValueError(f"{data}: classification needs one class per item, and the labels are no classes")
        highest, classes = int(items.target.max()), outputs.shape[-1]
        if highest >= classes:
            raise ValueError(
                f"{data}: labels go up to {highest}, but the {who} outputs {classes} classes; give it classes: {highest + 1}"
            )


def check_class_order(model: nn.Module, names: Sequence[str] | None, who: str, data: str) -> None:
    """Raises ValueError if model and data number the same class names differently, which would permute the predictions."""
    own = getattr(getattr(model, "config", None), "id2label", None)
    if not own or names is None:
        return
    theirs = [str(own[index]) for index in sorted(own)]
    if theirs != list(names) and sorted(theirs) == sorted(names):
        raise ValueError(
            f"{data}: the classes are numbered {_numbered(names)}, and those of the {who} {_numbered(theirs)}; write them in "
            f"the model's order, {json.dumps(theirs, ensure_ascii=False)}, into classes.json beside the data"
        )


def _numbered(names: Sequence[str]) -> str:
    return ", ".join(f"{index} {name!r}" for index, name in enumerate(names))
