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
        self,
        model: nn.Module,
        items: Items,
        *,
        batch_size: int = 500,
        autocast: torch.dtype | None = None,
        reads: str | None = None,
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

    def check(self, model: nn.Module, items: Items, who: str, data: str = "data") -> None:
        """Refuse data that a model cannot be trained or judged on, before anything is trained: no labels, inputs that the model
        does not take, labels that it has no class for, logits that are no numbers.

        Args:
            who, data: how messages call the model and the data.
        """
        if items.target is None or not bool((items.target >= 0).any()):
            raise ValueError(f"{data}: the {who} needs labels, and there are none; name the column that holds them (label: …)")
        few = items.select(torch.arange(min(8, len(items))))
        try:
            logits = self.logits(model, few)
        except (RuntimeError, ValueError, TypeError) as error:
            reason = str(error).splitlines()[0]
            raise ValueError(f"{data}: the {who} ({type(model).__name__}) cannot read it: {reason}") from error
        if logits.ndim != 2:
            raise ValueError(f"the {who} gives logits of shape {tuple(logits.shape)}; classification needs [items, classes]")
        if not bool(logits.isfinite().all()):
            raise ValueError(f"the {who} gives NaN or infinity on the {data}; check its weights and what it is fed")
        highest, classes = int(items.target.max()), logits.shape[-1]
        if highest >= classes:
            raise ValueError(
                f"{data}: labels go up to {highest}, but the {who} tells {classes} classes apart; "
                f"give it classes: {highest + 1}"
            )
