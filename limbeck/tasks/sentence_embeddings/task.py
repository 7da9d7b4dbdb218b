"""The task of sentence embeddings: one vector per text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from limbeck import metrics
from limbeck.data import Items
from limbeck.tasks.embedding_task import EmbeddingTask, require_labels_of_control
from limbeck.tasks.sentence_embeddings.linear_probe import probe_logits
from limbeck.tasks.sentence_embeddings.neighbours import nearest_neighbours, neighbour_overlap, neighbour_votes
from limbeck.tasks.text_predictions import TextPredictions, text_of

OVERLAP = "neighbour_overlap"


class SentenceEmbeddings(EmbeddingTask):
    """Embeddings of texts. All metrics depend on directions only, so that models of any width can be compared:

    - `probe_accuracy`: accuracy of logistic regression on the embeddings, cross-validated in five folds;
    - `knn_accuracy`: accuracy of the majority among the ten nearest other test texts by cosine;
    - `neighbour_overlap`: the share of the teacher's ten nearest neighbours of a text that are also the model's; 1 for the
      teacher itself.

    Training and `neighbour_overlap` need no labels. A control does: it learns through a linear layer that is then dropped.

    Args:
        metric: one of the three. None: probe_accuracy if the data has labels, else neighbour_overlap.
    """

    name = "sentence_embeddings"
    metrics = ("probe_accuracy", "knn_accuracy", OVERLAP)

    def __init__(self, metric: str | None = None) -> None:
        super().__init__(metric)
        self.by_default = metric is None

    def prepare(self, teacher: nn.Module | None, train: Items, evaluation: Sequence[Items], *, control: bool) -> None:
        self.classes = train.classes
        self.of_teacher.use(teacher)
        for items in evaluation:
            self.of_teacher.add(items)
        labelled = all(items.classes is not None and len(items.labelled()) > 1 for items in evaluation or [train])
        if self.by_default and not labelled:
            self.metric = metrics.get(OVERLAP)
        self.by_default &= not evaluation  # known from now on
        if self.metric.name != OVERLAP and evaluation and not labelled:
            raise ValueError(
                f"metric: {self.metric.name} needs labels of the evaluation data, and there are none; name the column that "
                f"holds them (label: …), or set metric: {OVERLAP}"
            )
        if control:
            require_labels_of_control(train)
        if any(len(items) < 2 for items in evaluation):
            raise ValueError("a single text has no neighbours; evaluate on two or more")

    @property
    def needs_teacher(self) -> bool:
        return self.metric.name == OVERLAP

    @property
    def may_need_teacher(self) -> bool:
        return self.by_default

    def evaluation_items(self, items: Items) -> Items:
        return items if self.needs_teacher else items.labelled()

    def compute_metrics(self, outputs: Tensor, items: Items) -> Mapping[str, float]:
        if not self.needs_teacher:
            known = (items.target >= 0).nonzero()[:, 0] if items.target is not None else torch.arange(0)
            items, outputs = items.select(known), outputs[known]
        found = self.to_predictions([outputs], items)
        if "scores" in found:
            return {self.metric.name: float(found["scores"].mean())}
        return {self.metric.name: float(self.metric.compute(found["logits"], found["labels"])[0])}

    def to_predictions(self, outputs: Sequence[Tensor], items: Items) -> Mapping[str, Any]:
        if self.needs_teacher:
            of_teacher = nearest_neighbours(self._teacher_embeddings(items))
            found = [nearest_neighbours(embeddings) for embeddings in outputs]
            texts = _nearest_texts(torch.stack([neighbours[:, 0] for neighbours in found]), items)
            scores = torch.stack([neighbour_overlap(neighbours, of_teacher) for neighbours in found]).numpy()
            return {"scores": scores, "text_predictions": texts}
        assert items.target is not None
        logits = torch.stack([self._logits(found, items) for found in outputs])
        return {"logits": logits.numpy(), "labels": items.target.numpy()}

    def _logits(self, embeddings: Tensor, items: Items) -> Tensor:
        """Logits of each item's class from the other items, [items, classes]."""
        assert items.target is not None
        assert items.classes is not None
        if self.metric.name == "probe_accuracy":
            return probe_logits(embeddings, items.target, items.keys, items.classes)
        counts = neighbour_votes(nearest_neighbours(embeddings), items.target, items.classes)
        return counts.clamp_min(1e-6).log()  # their softmax is the share of the votes

    def _teacher_embeddings(self, items: Items) -> Tensor:
        if self.of_teacher.teacher is None:
            raise ValueError(
                f"metric: {OVERLAP} compares with the teacher, which is not available here; use probe_accuracy or "
                "knn_accuracy, which need labels"
            )
        return self.outputs(self.of_teacher.teacher, self.of_teacher.items(items))

    def check_outputs(self, outputs: Tensor, items: Items, who: str, data: str) -> None:
        if outputs.ndim != 2:
            raise ValueError(
                f"the {who} gives outputs of shape {tuple(outputs.shape)}; sentence embeddings need one vector per text, "
                "[items, dimensions] (model: sentence_transformers)"
            )


def _nearest_texts(nearest: Tensor, items: Items) -> TextPredictions | None:
    """The nearest neighbours, rows `nearest` [seeds, items], as text; None if the items are no texts."""
    if text_of(items, 0) is None:
        return None
    return TextPredictions(choice=nearest.numpy(), text=lambda seed, unit: text_of(items, int(nearest[seed, unit])) or "")
