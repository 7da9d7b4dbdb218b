"""Masked language modelling: which words stood where tokens are hidden."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from limbeck.core.batch import DEFAULT_VIEW, Batch
from limbeck.core.objective import UNLABELLED
from limbeck.core.terms import Term
from limbeck.data import Items, Masking, MaskingVocabulary, Pipeline, TokenStorage
from limbeck.metrics.measures import Floats, Measure, measure
from limbeck.objectives import HardTargets
from limbeck.objectives.tokens import ForwardKL
from limbeck.tasks.base import Task

STREAM = "evaluation"  # keeps the tokens that judge apart from those that any training hides
FEWER = 8  # an answer is as wide as the vocabulary, so that so much smaller batches are evaluated


class MaskedLanguageModelling(Task):
    """Some tokens of each text are hidden, anew in every epoch, and models tell what they were (Devlin et al. 2018,
    1810.04805). They need no labels, and are judged on hidden tokens that never change: by the share whose word is found, by
    the cross entropy, or by its exponential. A text is the unit that intervals are drawn over.

    Args:
        metric: masked_accuracy, masked_cross_entropy or masked_perplexity.
        share: of the tokens that are hidden; of these 80 % become the mask token, 10 % another one, 10 % stay.
    """

    name = "masked_language_modelling"
    metrics = ("masked_accuracy", "masked_cross_entropy", "masked_perplexity")
    needs_labels = False

    def __init__(self, metric: str | None = None, share: float = 0.15) -> None:
        super().__init__(metric)
        self.share = share

    def hard_terms(self, student: str = "student") -> list[Term]:
        return [Term(HardTargets(), student=student)]

    def soft_terms(self, temperature: float, student: str = "student") -> list[Term]:
        return [Term(ForwardKL(temperature=temperature), student=student)]

    def training_items(self, items: Items) -> Items:
        return items

    def evaluation_items(self, items: Items) -> Items:
        return items

    def view(self, items: Items, views: Sequence[str | Mapping[str, Any]]) -> Pipeline | Masking:
        if views:
            raise ValueError(f"training.views: {list(views)} change images; of texts, tokens are hidden, so leave views out")
        return self._masking(items)

    def batches(self, items: Items, batch_size: int) -> Iterator[Batch]:
        masking = self._masking(items)
        for batch in super().batches(items, max(4, batch_size // FEWER)):
            assert batch.keys is not None
            inputs, target = masking(batch.inputs[DEFAULT_VIEW], batch.keys, stream=STREAM)
            yield replace(batch, inputs={DEFAULT_VIEW: inputs}, target=target)

    def reduce_outputs(self, answer: Tensor, batch: Batch) -> Tensor:
        """Of each text: how many tokens were hidden, how many of them were found, and the sum of their cross entropies."""
        assert batch.target is not None
        target = batch.target.to(answer.device)
        if answer.shape[:-1] != target.shape:
            raise ValueError(
                f"it gives outputs of shape {tuple(answer.shape)}; masked language modelling needs logits of tokens "
                f"{(*target.shape, 'vocabulary')} (task: AutoModelForMaskedLM)"
            )
        hidden = target != UNLABELLED
        logits, words = answer[hidden].float(), target[hidden]
        found = (logits.argmax(-1) == words).float()
        nats = torch.nn.functional.cross_entropy(logits, words, reduction="none")
        per_token = torch.stack([torch.ones_like(nats), found, nats], -1)
        return per_token.new_zeros(len(target), 3).index_add_(0, hidden.nonzero()[:, 0], per_token)

    def compute_metrics(self, outputs: Tensor, items: Items) -> Mapping[str, float]:
        return {name: float(one.value(_parts(one, [outputs]).mean(1))[0]) for name in self.metrics for one in [measure(name)]}

    def to_predictions(self, outputs: Sequence[Tensor], items: Items) -> Mapping[str, Any]:
        return {"scores": _parts(self.measure, outputs)}

    def check_outputs(self, outputs: Tensor, items: Items, who: str, data: str) -> None:
        if not bool(outputs[:, 0].any()):
            raise ValueError(f"{data}: the first texts hold no token that could be hidden; are they empty?")

    def _masking(self, items: Items) -> Masking:
        if not isinstance(items.storage, TokenStorage):
            raise ValueError("masked language modelling reads texts as tokens: limbeck.data.tokenize(items, tokenizer)")
        apart = items.storage.first_id_difference()
        if apart is not None:
            raise ValueError(
                f"masked language modelling: {' and '.join(items.storage.input_names)} read other tokens, {apart}; what one "
                "predicts tells nothing of what the other does. Give both the same tokenizer, and the student the whole "
                "vocabulary"
            )
        return Masking(MaskingVocabulary.of(items.storage.tokenizer), self.share)


def _parts(one: Measure, outputs: Sequence[Tensor]) -> Floats:
    """What the metric is made of: [seeds, texts, 2]."""
    return one.parts(torch.stack(list(outputs)).numpy(), np.empty(0))
