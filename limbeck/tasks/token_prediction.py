"""The base of tasks that predict tokens of texts: masked tokens, or the next one."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from limbeck import metrics
from limbeck.core.batch import DEFAULT_VIEW, Batch
from limbeck.core.labels import UNLABELLED
from limbeck.core.terms import Term
from limbeck.data import Items, TokenStorage
from limbeck.data.dataset import View
from limbeck.data.fields.views import ViewSpec
from limbeck.metrics import Floats, Metric
from limbeck.objectives import HardTargets
from limbeck.objectives.tokens import ForwardKL
from limbeck.tasks.base import Task

STREAM = "evaluation"  # a random stream of its own: other tokens are hidden than in training
TEXTS = 1024  # that are read at a time, where no model runs
FEWER = 8  # outputs are as wide as the vocabulary, so batches are smaller by this factor


class TokenPrediction(Task):
    """Predicts tokens of texts, which are their own labels. Metrics are means over tokens; intervals resample texts.

    Attributes:
        title: in messages.
        auto_class: of Transformers, whose models predict such tokens.
        remedy: what views would change in place of texts, and what happens to texts.
    """

    needs_labels = False
    reads_labels = False  # they are the tokens themselves
    title: ClassVar[str]
    auto_class: ClassVar[str]
    remedy: ClassVar[str]

    @abstractmethod
    def token_view(self, items: Items) -> View:
        """The view whose target are the tokens to predict, int64 [B, T], -100 elsewhere."""

    def hard_terms(self, student: str = "student") -> list[Term]:
        return [Term(HardTargets(), student=student)]

    def soft_terms(self, temperature: float, student: str = "student") -> list[Term]:
        return [Term(ForwardKL(temperature=temperature), student=student)]

    def training_items(self, items: Items) -> Items:
        return items

    def evaluation_items(self, items: Items) -> Items:
        return items

    def view(self, items: Items, views: ViewSpec) -> View:
        if views:
            raise ValueError(f"training.views: {list(views)} change images; {self.remedy}, so leave views out")
        return self.token_view(items)

    def batches(self, items: Items, batch_size: int, workers: int | None = None) -> Iterator[Batch]:
        view = self.token_view(items)
        for batch in super().batches(items, max(4, batch_size // FEWER), workers):
            assert batch.keys is not None
            inputs, target = view(batch.inputs[DEFAULT_VIEW], batch.keys, stream=STREAM)
            yield replace(batch, inputs={DEFAULT_VIEW: inputs}, target=target)

    def reduce_outputs(self, outputs: Tensor, batch: Batch) -> Tensor:
        """By text: numbers of predicted and of correctly predicted tokens, and the sum of their cross entropies, [texts, 3]."""
        assert isinstance(batch.target, Tensor)
        target = batch.target.to(outputs.device)
        if outputs.shape[:-1] != target.shape:
            raise ValueError(
                f"it gives outputs of shape {tuple(outputs.shape)}; {self.title} needs logits of tokens "
                f"{(*target.shape, 'vocabulary')} (task: {self.auto_class})"
            )
        counted = target != UNLABELLED
        logits, words = outputs[counted].float(), target[counted]
        found = (logits.argmax(-1) == words).float()
        nats = torch.nn.functional.cross_entropy(logits, words, reduction="none")
        per_token = torch.stack([torch.ones_like(nats), found, nats], -1)
        return per_token.new_zeros(len(target), 3).index_add_(0, counted.nonzero()[:, 0], per_token)

    def _predicts_any(self, outputs: Tensor, items: Items) -> bool:
        """Whether any token is predicted: of the first texts, of which the outputs are, or of all."""
        targets = (batch.target for batch in self.batches(items, FEWER * TEXTS))
        some = (isinstance(target, Tensor) and bool((target != UNLABELLED).any()) for target in targets)
        return bool(outputs[:, 0].any()) or any(some)

    def compute_metrics(self, outputs: Tensor, items: Items) -> Mapping[str, float]:
        chosen = [_mean_metric(name) for name in self.metrics]
        return {metric.name: float(metric.from_means(_parts(metric, [outputs]).mean(1))[0]) for metric in chosen}

    def to_predictions(self, outputs: Sequence[Tensor], items: Items) -> Mapping[str, Any]:
        return {"scores": _parts(_mean_metric(self.metric.name), outputs)}

    def tokens_of(self, items: Items) -> TokenStorage:
        """The tokens of the items.

        Raises:
            ValueError: they are no tokens, or the models read different ones.
        """
        if not isinstance(items.storage, TokenStorage):
            raise ValueError(f"{self.title} reads texts as tokens: limbeck.data.tokenize(items, tokenizer)")
        apart = items.storage.first_id_difference()
        if apart is not None:
            raise ValueError(
                f"{self.title}: {' and '.join(items.storage.input_names)} read other tokens, {apart}; what one predicts tells "
                "nothing of what the other does. Give both the same tokenizer, and the student the whole vocabulary"
            )
        return items.storage


def _mean_metric(name: str) -> Metric:
    found = metrics.get(name)
    assert isinstance(found, Metric)
    return found


def _parts(one: Metric, outputs: Sequence[Tensor]) -> Floats:
    """The numbers per text from whose means the metric is computed, [seeds, texts, 2]."""
    return one.item_statistics(torch.stack(list(outputs)).numpy(), np.empty(0))
