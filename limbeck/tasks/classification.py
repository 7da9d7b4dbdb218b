"""Classification: one label an item, judged by accuracy."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.objectives import HardTargets
from limbeck.sources import Items, evaluation_batches
from limbeck.taps import call, logits_of
from limbeck.terms import Term


class Classification:
    """What the engine need not know about classification: the control's loss, the evaluation, the metric.

    Attributes:
        name: as recipes and verdicts write it.
        metric: accuracy, a mean of one score (0 or 1) for each item.
    """

    name = "classification"
    metric = "accuracy"
    higher_is_better = True

    def hard_terms(self, student: str = "student") -> list[Term]:
        """What the control learns from: labels only."""
        return [Term(HardTargets(), student=student)]

    @torch.no_grad()
    def logits(
        self, model: nn.Module, items: Items, *, batch_size: int = 500, autocast: torch.dtype | None = None, reads: str | None = None
    ) -> Tensor:
        """The model's logits for every item, `[items, classes]` float32 on the CPU; the model is left in its mode."""
        was_training, device = model.training, next((p.device for p in model.parameters()), torch.device("cpu"))
        model.eval()
        found = []
        with torch.autocast(device.type, autocast) if autocast else nullcontext():
            for batch in evaluation_batches(items, batch_size):
                inputs: Any = batch.to(device).inputs["default"]
                if reads is not None:
                    inputs = inputs[reads]
                answer = logits_of(call(model, inputs))
                if not isinstance(answer, Tensor):
                    raise ValueError(f"{type(model).__name__} returned {type(answer).__name__}; classification needs logits")
                found.append(answer.float().cpu())
        model.train(was_training)
        return torch.cat(found)

    def figures(self, logits: Tensor, target: Tensor) -> Mapping[str, float]:
        """Metrics over the labelled items."""
        known = target >= 0
        right = logits[known].argmax(-1) == target[known]
        loss = nn.functional.cross_entropy(logits[known], target[known])
        return {self.metric: float(right.double().mean()), "cross_entropy": float(loss)}

    def check(self, model: nn.Module, items: Items, who: str) -> None:
        """Refuse a model whose classes are fewer than the labels need, before anything is trained."""
        if items.target is None or not bool((items.target >= 0).any()):
            raise ValueError(f"data: {who} needs labels to be judged, and the data has none")
        few = items.select(torch.arange(min(2, len(items))))
        classes = self.logits(model, few).shape[-1]
        highest = int(items.target.max())
        if highest >= classes:
            raise ValueError(f"labels go up to {highest}, but the {who} tells {classes} classes apart; give it classes: {highest + 1}")
