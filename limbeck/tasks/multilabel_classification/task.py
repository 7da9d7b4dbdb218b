"""The task of multi-label classification: independent labels of an item."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.core.objective import reads_classes
from limbeck.core.terms import Term
from limbeck.data import Items, Pipeline
from limbeck.data.dataset import View
from limbeck.data.fields.views import ViewSpec
from limbeck.data.loading import Labels, multi_hot_labels
from limbeck.data.loading.raw_table import RawTable
from limbeck.objectives import BinaryCrossEntropy, BinarySoftTargets
from limbeck.tasks.base import Task
from limbeck.tasks.classification import check_class_order
from limbeck.tasks.multilabel_classification.predictions import MultilabelPredictions


class MultilabelClassification(Task):
    """Any number of the classes apply to an item; metrics: macro F1, mean average precision, micro F1.

    Labels are `[items, classes]`: 1 applies, 0 does not, -100 unknown; unknown labels count neither in training nor in metrics.
    In files they are several columns of 0 and 1, lists of names, or names joined by `;`; see
    `limbeck.data.loading.multi_hot_labels`. A label is predicted if its logit is above 0.
    """

    name = "multilabel_classification"
    metrics = ("macro_f1", "mean_average_precision", "micro_f1")
    outputs_classes = True
    one_class = False
    class_measure = "F1"
    predictions_type = MultilabelPredictions

    def read_labels(self, table: RawTable, columns: Sequence[str], classes: int | None = None) -> Labels:
        return multi_hot_labels(table, columns, classes)

    def view(self, items: Items, views: ViewSpec) -> View:
        pipeline = super().view(items, views)
        if isinstance(pipeline, Pipeline) and pipeline.mixes:
            raise ValueError(f"training.views: {list(views)} mix items of one class each; leave mixup and cutmix out")
        return pipeline

    def hard_terms(self, student: str = "student") -> list[Term]:
        return [Term(BinaryCrossEntropy(), student=student)]

    def soft_terms(self, temperature: float, student: str = "student") -> list[Term]:
        return [Term(BinarySoftTargets(temperature=temperature), student=student)]

    def check_objective(self, name: str) -> None:
        if reads_classes(name):
            raise ValueError(
                f"{name} is a softmax over classes, and the labels of {self.name} are independent; use "
                "binary_cross_entropy for labels and binary_soft_targets for a teacher"
            )

    def compute_metrics(self, outputs: Tensor, items: Items) -> Mapping[str, float]:
        assert isinstance(items.target, Tensor)
        value = self.metric.compute(outputs[None].numpy(), items.target.numpy())[0]
        loss = BinaryCrossEntropy()(outputs, target=items.target)
        return {self.metric.name: float(value), "binary_cross_entropy": float(loss.mean())}

    def to_predictions(self, outputs: Sequence[Tensor], items: Items) -> Mapping[str, Any]:
        assert isinstance(items.target, Tensor)
        logits = torch.stack(list(outputs)).numpy()
        return {"own": MultilabelPredictions(logits, items.target.numpy(), items.class_names)}

    def check(self, model: nn.Module, items: Items, who: str, data: str = "data", reads: str | None = None) -> None:
        super().check(model, items, who, data, reads)
        check_class_order(model, items.class_names, who, data)

    def check_outputs(self, outputs: Tensor, items: Items, who: str, data: str) -> None:
        if outputs.ndim != 2:
            raise ValueError(
                f"the {who} gives logits of shape {tuple(outputs.shape)}; multi-label classification needs [items, classes]"
            )
        target = items.target
        if not isinstance(target, Tensor) or target.ndim != 2 or items.classes is None:
            raise ValueError(
                f"{data}: multi-label classification needs a 0 or 1 for each class of an item, and the labels are of another "
                "kind; name the columns of the classes (label: [first, second, …]), or one column of lists "
                "(in Python Items.from_tensors(inputs, labels, classes=…))"
            )
        classes, width = target.shape[1], outputs.shape[1]
        if bool(((outputs >= 0) & (outputs <= 1)).all()) and bool(((outputs > 0) & (outputs < 1)).any()):
            warnings.warn(
                f"{who}: its outputs on the {data} all lie between 0 and 1, like probabilities, and losses take them for "
                "logits; leave its sigmoid out",
                stacklevel=2,
            )
        if width != classes:
            raise ValueError(f"{data}: it has {classes} classes, but the {who} outputs {width}; give it classes: {classes}")
