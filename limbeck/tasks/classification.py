"""Classification: one label an item."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.objectives import HardTargets
from limbeck.sources import Items
from limbeck.tasks.base import Task
from limbeck.terms import Term


class Classification(Task):
    """One of several classes an item, judged by accuracy, by F1, or by Matthews' correlation."""

    name = "classification"
    metrics = ("accuracy", "f1", "matthews")

    def hard_terms(self, student: str = "student") -> list[Term]:
        return [Term(HardTargets(), student=student)]

    def figures(self, outputs: Tensor, items: Items) -> Mapping[str, float]:
        assert items.target is not None
        known = items.target >= 0
        logits, target = outputs[known], items.target[known]
        loss = nn.functional.cross_entropy(logits, target)
        value = self.measure.of(logits[None].numpy(), target.numpy())[0]
        return {self.metric: float(value), "cross_entropy": float(loss)}

    def answered(self, outputs: Sequence[Tensor], items: Items) -> Mapping[str, Any]:
        assert items.target is not None
        return {"logits": torch.stack(list(outputs)).numpy(), "labels": items.target.numpy()}

    def check_outputs(self, outputs: Tensor, items: Items, who: str, data: str) -> None:
        if outputs.ndim != 2:
            raise ValueError(f"the {who} gives logits of shape {tuple(outputs.shape)}; classification needs [items, classes]")
        assert items.target is not None
        if items.target.is_floating_point() or items.target.ndim != 1:
            raise ValueError(f"{data}: classification needs one class an item, and the labels are no classes")
        highest, classes = int(items.target.max()), outputs.shape[-1]
        if highest >= classes:
            raise ValueError(
                f"{data}: labels go up to {highest}, but the {who} tells {classes} classes apart; "
                f"give it classes: {highest + 1}"
            )
