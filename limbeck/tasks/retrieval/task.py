"""The task of retrieval: items of one field are found by what the teacher makes of another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.core.actors import Actors, frozen
from limbeck.core.model_io import call_model
from limbeck.core.reference_module import module_of
from limbeck.data import Items, evaluation_batches
from limbeck.tasks.embedding_task import EmbeddingTask, require_labels_of_control
from limbeck.tasks.retrieval.last_layer import fit_last_layer, last_linear
from limbeck.tasks.retrieval.ranks import ranks_of_items

RECALL = "recall_at_"


class Retrieval(EmbeddingTask):
    """Items are found by queries: the student embeds items, such as images, and the teacher queries, such as texts. The data
    has both, as fields; query i looks for item i among all evaluated items, by the cosine of the embeddings:

    - `recall_at_10`, `recall_at_1`: the share of queries whose item is among the first;
    - `mean_reciprocal_rank`: the mean of 1 / rank of the item.

    Items with one query, such as two pictures with one caption, are both right. The teacher finds each query by itself, so its
    own metric is 1.

    Training needs no labels. A control does: it learns them through a linear layer that is dropped; then the last linear layer
    of the model is fitted to the teacher's embeddings by ridge regression on the training items.

    Args:
        metric: one of the three.
    """

    name = "retrieval"
    metrics = ("recall_at_10", "recall_at_1", "mean_reciprocal_rank")
    unit = "queries"

    def __init__(self, metric: str | None = None) -> None:
        super().__init__(metric)
        self.control = False

    def prepare(self, teacher: nn.Module | None, train: Items, evaluation: Sequence[Items], *, control: bool) -> None:
        self.classes, self.control = train.classes, control
        self.of_teacher.use(teacher)
        for items in (train, *evaluation):
            self.of_teacher.add(items)
        if evaluation and teacher is None:
            raise ValueError(
                "retrieval: queries are embedded by the teacher, and there is none; name one (teacher:) that reads the field "
                "of the queries"
            )
        if control:
            require_labels_of_control(train)
        if any(len(items) < 2 for items in evaluation):
            raise ValueError("retrieval: a single item is always found; evaluate on two or more")

    @property
    def needs_teacher(self) -> bool:
        return True

    def evaluation_items(self, items: Items) -> Items:
        return items

    def compute_metrics(self, outputs: Tensor, items: Items) -> Mapping[str, float]:
        return {self.metric.name: float(self._scores(outputs, items).mean())}

    def to_predictions(self, outputs: Sequence[Tensor], items: Items) -> Mapping[str, Any]:
        return {"scores": torch.stack([self._scores(embeddings, items) for embeddings in outputs]).numpy()}

    def _scores(self, embeddings: Tensor, items: Items) -> Tensor:
        """The metric of each query, float64 [items]."""
        ranks = ranks_of_items(self._queries(items), embeddings, self.of_teacher.items(items).keys)
        if self.metric.name.startswith(RECALL):
            return (ranks < int(self.metric.name.removeprefix(RECALL))).double()
        return 1 / (1 + ranks.double())

    def _queries(self, items: Items) -> Tensor:
        teacher = self.of_teacher.teacher
        if teacher is None:
            raise ValueError("retrieval: queries are embedded by the teacher, which is not available here")
        return self.outputs(teacher, self.of_teacher.items(items))

    def finish_control(self, model: nn.Module, train: Items) -> None:
        """Fits the last linear layer of a control to the teacher's embeddings of the training items."""
        path = self._last_layer(model, train)
        features = self.outputs(module_of(f"model:input({path})", Actors({"model": frozen(model)})), train)
        layer = model.get_submodule(path)
        assert isinstance(layer, nn.Linear)
        fit_last_layer(layer, features, self._queries(train), self.of_teacher.items(train).keys)

    def _last_layer(self, model: nn.Module, items: Items) -> str:
        few = next(evaluation_batches(items.select(torch.arange(min(2, len(items)))), 2)).inputs["default"]
        with torch.no_grad():
            path = last_linear(model, lambda: call_model(model, few))
        if path is None:
            raise ValueError(
                f"control: its last linear layer is fitted to the teacher's embeddings, and {type(model).__name__} does not "
                "end in one; set control: false"
            )
        return path

    def check(self, model: nn.Module, items: Items, who: str, data: str = "data", reads: str | None = None) -> None:
        super().check(model, items, who, data, reads)
        if self.control and model is not self.of_teacher.teacher and who != "teacher":
            self._last_layer(model, items)

    def check_outputs(self, outputs: Tensor, items: Items, who: str, data: str) -> None:
        if outputs.ndim != 2:
            raise ValueError(
                f"the {who} gives outputs of shape {tuple(outputs.shape)}; retrieval needs one vector per item, [items, "
                "dimensions]"
            )
        teacher = self.of_teacher.teacher
        if teacher is None or who == "teacher":
            return
        few = self.of_teacher.items(items).select(torch.arange(min(2, len(items))))
        width = self.outputs(teacher, few).shape[1]
        if outputs.shape[1] != width:
            raise ValueError(
                f"the {who} gives embeddings of {outputs.shape[1]} numbers, and the teacher of {width}, so that no cosine "
                f"compares them; give the {who} as many outputs (args: {{classes: {width}}})"
            )
