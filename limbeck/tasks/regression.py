"""Regression: one number per item."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from limbeck.core.objective import reads_classes
from limbeck.core.terms import Term
from limbeck.data import Items
from limbeck.data.loading import Labels, number_labels
from limbeck.data.loading.raw_table import RawTable
from limbeck.objectives import LogitMSE, SquaredError
from limbeck.tasks.base import Task


class Regression(Task):
    """One number per item; metrics: Pearson's or Spearman's correlation (as for GLUE's STS-B), or the squared error."""

    name = "regression"
    metrics = ("pearson", "spearman", "mean_squared_error")
    one_class = False
    output_name = "prediction"

    def read_labels(self, table: RawTable, columns: Sequence[str], classes: int | None = None) -> Labels:
        return number_labels(table, columns, classes)

    def hard_terms(self, student: str = "student") -> list[Term]:
        return [Term(SquaredError(), student=student)]

    def soft_terms(self, temperature: float, student: str = "student") -> list[Term]:
        return [Term(LogitMSE(), student=student)]  # a number has no temperature

    def check_objective(self, name: str) -> None:
        if reads_classes(name):
            raise ValueError(
                f"{name} is a softmax over classes, and the output of {self.name} is one number; use squared_error for labels "
                "and logit_mse for a teacher"
            )

    def compute_metrics(self, outputs: Tensor, items: Items) -> Mapping[str, float]:
        assert items.target is not None
        known = items.target.isfinite()
        values, truths = outputs[known], items.target[known]
        value = self.metric.compute(values.reshape(1, len(truths), 1).numpy(), truths.numpy())[0]
        return {self.metric.name: float(value), "squared_error": float((values.flatten() - truths).square().mean())}

    def to_predictions(self, outputs: Sequence[Tensor], items: Items) -> Mapping[str, Any]:
        assert items.target is not None
        values = torch.stack([found.flatten() for found in outputs])
        return {"values": values.numpy(), "truths": items.target.numpy()}

    def check_outputs(self, outputs: Tensor, items: Items, who: str, data: str) -> None:
        if outputs.ndim != 2 or outputs.shape[1] != 1:
            shape = tuple(outputs.shape)
            raise ValueError(
                f"the {who} gives outputs of shape {shape}; regression needs [items, 1]: one output, as of args: "
                "{classes: 1} of Limbeck's models, and {num_labels: 1} of Transformers"
            )
        assert items.target is not None
        if not items.target.is_floating_point():
            raise ValueError(
                f"{data}: the labels are classes; regression needs numbers (in Python labels.float(), or regression=True)"
            )
