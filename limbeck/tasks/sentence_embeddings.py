"""Sentence embeddings: one vector a text, whose neighbours are texts that mean about the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.core.terms import Term
from limbeck.data import Items
from limbeck.metrics.measures import measure
from limbeck.objectives import EmbeddingCosine
from limbeck.tasks.base import Task
from limbeck.tasks.linear_probe import probe_logits
from limbeck.tasks.linear_targets import LinearTargets
from limbeck.tasks.neighbours import nearest, shared, votes
from limbeck.tasks.text_predictions import TextPredictions, text_of

OVERLAP = "neighbour_overlap"


class SentenceEmbeddings(Task):
    """Vectors of texts, judged by what their directions tell; models of any widths can be compared. All measures are of the
    test texts among themselves:

    - `probe_accuracy`: of logistic regression on the embeddings, cross-validated in five folds;
    - `knn_accuracy`: of the majority among the ten nearest neighbours by cosine, the text itself left out;
    - `neighbour_overlap`: the share of the teacher's ten nearest neighbours of a text that are the model's too; the teacher's
      own is 1.

    Training needs no labels, and neither does the overlap; only a control does, which learns from them through a linear layer
    that is then dropped.

    Args:
        metric: one of the three. None: probe_accuracy where the data has labels, neighbour_overlap where it has none.
    """

    name = "sentence_embeddings"
    metrics = ("probe_accuracy", "knn_accuracy", OVERLAP)
    needs_labels = False

    def __init__(self, metric: str | None = None) -> None:
        super().__init__(metric)
        self.by_default = metric is None
        self.teacher: nn.Module | None = None
        self.classes: int | None = None
        # by the fingerprint of items: as the teacher reads them, and what it said of them
        self._read: dict[str, Items] = {}
        self._said: dict[str, Tensor] = {}

    def prepare(self, teacher: nn.Module | None, train: Items, evaluation: Sequence[Items], *, control: bool) -> None:
        self.teacher, self.classes, self._said = teacher, train.classes, {}
        self._read |= {items.fingerprint(): items.for_actor("teacher") for items in evaluation}
        labelled = all(items.classes is not None and len(items.labelled()) > 1 for items in evaluation or [train])
        if self.by_default and not labelled:
            self.measure = measure(OVERLAP)
        self.by_default &= not evaluation  # what is judged on has settled it
        if self.metric != OVERLAP and evaluation and not labelled:
            raise ValueError(
                f"metric: {self.metric} needs labels of what models are judged on, and there are none; name the column that "
                f"holds them (label: …), or set metric: {OVERLAP}"
            )
        if control and train.classes is None:
            raise ValueError(
                "control: without labels there is nothing that the student could learn from alone; set control: false, or name "
                "the column that holds labels (label: …)"
            )
        if any(len(items) < 2 for items in evaluation):
            raise ValueError("a single text has no neighbours; judge on two or more")

    @property
    def needs_teacher(self) -> bool:
        return self.metric == OVERLAP

    @property
    def may_need_teacher(self) -> bool:
        return self.by_default

    def evaluation_items(self, items: Items) -> Items:
        return items if self.needs_teacher else items.labelled()

    def hard_terms(self, student: str = "student") -> list[Term]:
        if self.classes is None:
            raise ValueError(
                "sentence embeddings learn from labels through a linear layer, and how many classes there are is unknown"
            )
        return [Term(LinearTargets(classes=self.classes), student=student)]

    def soft_terms(self, temperature: float, student: str = "student") -> list[Term]:
        return [Term(EmbeddingCosine(), student=student)]  # directions have no temperature

    def outputs(self, model: nn.Module, items: Items, **options: Any) -> Tensor:
        """The vectors of all items, `[items, D]`. The teacher is asked about the same ones once."""
        if model is not self.teacher:
            return super().outputs(model, items, **options)
        name = items.fingerprint()
        if name not in self._said:
            self._said[name] = super().outputs(model, items, **options)
        return self._said[name]

    def compute_metrics(self, outputs: Tensor, items: Items) -> Mapping[str, float]:
        if not self.needs_teacher:
            known = (items.target >= 0).nonzero()[:, 0] if items.target is not None else torch.arange(0)
            items, outputs = items.select(known), outputs[known]
        answered = self.to_predictions([outputs], items)
        if "scores" in answered:
            return {self.metric: float(answered["scores"].mean())}
        return {self.metric: float(self.measure.of(answered["logits"], answered["labels"])[0])}

    def to_predictions(self, outputs: Sequence[Tensor], items: Items) -> Mapping[str, Any]:
        if self.needs_teacher:
            theirs = nearest(self._teachers(items))
            ours = [nearest(found) for found in outputs]
            told = _told(torch.stack([found[:, 0] for found in ours]), items)
            return {"scores": torch.stack([shared(found, theirs) for found in ours]).numpy(), "text_predictions": told}
        assert items.target is not None
        logits = torch.stack([self._logits(found, items) for found in outputs])
        return {"logits": logits.numpy(), "labels": items.target.numpy()}

    def _logits(self, embeddings: Tensor, items: Items) -> Tensor:
        """Of each item's class, from the other items: [items, classes]."""
        assert items.target is not None
        assert items.classes is not None
        if self.metric == "probe_accuracy":
            return probe_logits(embeddings, items.target, items.keys, items.classes)
        counts = votes(nearest(embeddings), items.target, items.classes)
        return counts.clamp_min(1e-6).log()  # a softmax of them is the share of the votes

    def _teachers(self, items: Items) -> Tensor:
        if self.teacher is None:
            raise ValueError(
                f"metric: {OVERLAP} compares with the teacher, which is not at hand here; judge by probe_accuracy or "
                "knn_accuracy, which need labels"
            )
        return self.outputs(self.teacher, self._read.get(items.fingerprint(), items))

    def check_outputs(self, outputs: Tensor, items: Items, who: str, data: str) -> None:
        if outputs.ndim != 2:
            raise ValueError(
                f"the {who} gives outputs of shape {tuple(outputs.shape)}; sentence embeddings need one vector a text, "
                "[items, dimensions] (model: sentence_transformers)"
            )


def _told(closest: Tensor, items: Items) -> TextPredictions | None:
    """The nearest text to each by each seed, `closest` [seeds, items]; None where the items are no texts."""
    if text_of(items, 0) is None:
        return None
    return TextPredictions(choice=closest.numpy(), text=lambda seed, unit: text_of(items, int(closest[seed, unit])) or "")
