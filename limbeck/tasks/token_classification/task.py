"""The task of token classification: a tag for each word of a sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from limbeck import metrics
from limbeck.core.terms import Term
from limbeck.data import Items, TagTargets, WordStorage
from limbeck.data.dataset import View
from limbeck.data.fields.views import ViewSpec
from limbeck.metrics.entities import OUTSIDE, entity_types
from limbeck.objectives import HardTargets, SoftTargets
from limbeck.tasks.base import Task
from limbeck.tasks.classification import ONE_CLASS, check_class_order
from limbeck.tasks.token_classification.predictions import NO_WORD, TagPredictions, with_outside
from limbeck.tasks.token_classification.tag_format import TagFormat


class TokenClassification(Task):
    """A tag for each word, with F1 over entities (named entity recognition) or accuracy over words.

    The tag of a word is trained and read at its first piece; its other pieces and special tokens have no label. A teacher is
    compared at every real token, as `DistillationTrainer` does. Words beyond the maximal length count as predicted `O`.
    Intervals resample sentences.

    Args:
        metric: entity_f1 (micro-averaged over all entities, of whose boundaries and type both must be right) or tag_accuracy.
    """

    name = "token_classification"
    metrics = ("entity_f1", "tag_accuracy")
    outputs_classes = True
    unit = "sentences"
    class_measure = "F1"
    predictions_type = TagPredictions
    data_format = TagFormat()

    def hard_terms(self, student: str = "student") -> list[Term]:
        return [Term(HardTargets(), student=student)]

    def soft_terms(self, temperature: float, student: str = "student") -> list[Term]:
        return [Term(SoftTargets(temperature=temperature), student=student)]

    def view(self, items: Items, views: ViewSpec) -> View:
        if views:
            raise ValueError(f"training.views: {list(views)} change images; sentences are read as they are, so leave views out")
        _sentences(items)
        return TagTargets()

    @classmethod
    def reported_classes(cls, classes: Sequence[str]) -> Sequence[str]:
        """The types of entities, of tags such as B-PER and I-PER."""
        return entity_types(classes)

    def concatenate(self, outputs: list[Tensor]) -> Tensor:
        """Logits of sentences of different lengths as one tensor, padded at the end."""
        widest = max(found.shape[1] if found.ndim == 3 else 0 for found in outputs)
        return torch.cat(
            [nn.functional.pad(found, (0, 0, 0, widest - found.shape[1])) if found.ndim == 3 else found for found in outputs]
        )

    def compute_metrics(self, outputs: Tensor, items: Items) -> Mapping[str, float]:
        predictions = self.to_predictions([outputs], items)["own"]
        found = {}
        for name in self.metrics:
            metric = metrics.get(name)
            assert isinstance(metric, metrics.Metric)
            found[name] = float(metric.from_means(predictions.item_statistics(metric).mean(1))[0])
        target = items.target["labels"][:, : outputs.shape[1]]
        loss = nn.functional.cross_entropy(outputs[:, : target.shape[1]].flatten(0, 1), target.flatten())
        return {**found, "cross_entropy": float(loss)}

    def to_predictions(self, outputs: Sequence[Tensor], items: Items) -> Mapping[str, Any]:
        storage = _sentences(items)
        names = with_outside(items.class_names or ())
        words = [storage.words(row) for row in range(len(items))]
        true = [storage.tags(row) or () for row in range(len(items))]
        names += sorted({tag for tags in true for tag in tags} - set(names))
        index = {name: at for at, name in enumerate(names)}
        longest = max(map(len, words), default=0)
        gold = np.full((len(items), longest), NO_WORD, np.int32)
        tags = np.full((len(outputs), len(items), longest), NO_WORD, np.int32)
        choices = np.stack([found.argmax(-1).numpy() for found in outputs])
        for row, own in enumerate(words):
            gold[row, : len(true[row])] = [index[tag] for tag in true[row]]
            tags[:, row, : len(own)] = index[OUTSIDE]  # of words without a token
            pieces = storage.first_pieces[row].numpy()
            at = np.flatnonzero(pieces >= 0)
            tags[:, row, pieces[at]] = choices[:, row, at]
        return {"own": TagPredictions(tags, gold, names, words)}

    def check(self, model: nn.Module, items: Items, who: str, data: str = "data", reads: str | None = None) -> None:
        super().check(model, items, who, data, reads)
        check_class_order(model, items.class_names, who, data)

    def check_outputs(self, outputs: Tensor, items: Items, who: str, data: str) -> None:
        _sentences(items)
        if outputs.ndim != 3:
            raise ValueError(
                f"the {who} gives outputs of shape {tuple(outputs.shape)}; token classification needs logits of tokens "
                "[items, tokens, classes] (task: AutoModelForTokenClassification)"
            )
        names: Sequence[str] = items.class_names or ()
        classes = len(names)
        if outputs.shape[2] != classes:
            raise ValueError(
                f"{data}: it has {classes} tags, but the {who} outputs {outputs.shape[2]}; give it classes: {classes}, or "
                "write the names of all in the model's order into classes.json beside the data"
            )
        if classes == 1:
            raise ValueError(f"{data}: it has one tag, {names[0]!r}, {ONE_CLASS}; give data of several tags")


def _sentences(items: Items) -> WordStorage:
    if not isinstance(items.storage, WordStorage):
        expected = "limbeck.data.tokenize_words(load_tagged_words(…), tokenizer)"
        raise ValueError(f"token classification reads sentences of words with tags: {expected}")
    return items.storage
