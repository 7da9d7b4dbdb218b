"""What differs between kinds of problem: how labels alone teach, what a model answers, and how answers are judged."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from limbeck.core.batch import Batch
from limbeck.core.model_io import call_model, logits_of
from limbeck.core.terms import Term
from limbeck.data import Items, Masking, Pipeline, evaluation_batches
from limbeck.metrics.measures import Measure, measure
from limbeck.tasks.input_limits import check_input_limits


class Task(ABC):
    """What the engine need not know about a kind of problem.

    Args:
        metric: what models are judged by, one of `metrics`; the first of them by default.

    Attributes:
        name: as recipes and verdicts write it.
        metrics: what this kind of problem can be judged by.
        needs_labels: whether all data must have them.
    """

    name: ClassVar[str]
    metrics: ClassVar[Sequence[str]]
    needs_labels: ClassVar[bool] = True

    def __init__(self, metric: str | None = None) -> None:
        chosen = metric or self.metrics[0]
        if chosen not in self.metrics:
            raise ValueError(f"metric: {chosen!r} does not judge {self.name}; choose one of {', '.join(self.metrics)}")
        self.measure: Measure = measure(chosen)

    @property
    def metric(self) -> str:
        return self.measure.name

    @property
    def higher_is_better(self) -> bool:
        return self.measure.higher_is_better

    def prepare(self, teacher: nn.Module | None, train: Items, evaluation: Sequence[Items], *, control: bool) -> None:  # noqa: B027
        """Prepares for a run before training; for tasks that depend on the teacher or on which labels there are.

        Args:
            teacher: None where there is none at hand.
            evaluation: what models are selected and judged on.
            control: whether a model is to learn from the labels of `train` alone.
        """

    def view(self, items: Items, views: Sequence[str | Mapping[str, Any]]) -> Pipeline | Masking:
        """How training items are shown: augmented as `views` says."""
        return Pipeline.from_spec(list(views))

    def training_items(self, items: Items) -> Items:
        """The items that teach by themselves: those with a label."""
        return items.labelled()

    def evaluation_items(self, items: Items) -> Items:
        """The items that models are judged on: those with a label."""
        return items.labelled()

    @property
    def needs_teacher(self) -> bool:
        """Whether models are judged by how they agree with the teacher, which must then be at hand."""
        return False

    @property
    def may_need_teacher(self) -> bool:
        """Whether that is still open, until the data is known."""
        return False

    @abstractmethod
    def hard_terms(self, student: str = "student") -> list[Term]:
        """What the control learns from: labels only."""

    @abstractmethod
    def soft_terms(self, temperature: float, student: str = "student") -> list[Term]:
        """How a student learns the teacher's answers to this kind of problem, at a temperature where that means something."""

    @abstractmethod
    def check_outputs(self, outputs: Tensor, items: Items, who: str, data: str) -> None:
        """Refuse outputs that do not fit the labels."""

    @abstractmethod
    def compute_metrics(self, outputs: Tensor, items: Items) -> Mapping[str, float]:
        """Metrics over the labelled items, by name; the task's own metric is among them."""

    @abstractmethod
    def to_predictions(self, outputs: Sequence[Tensor], items: Items) -> Mapping[str, Any]:
        """What the models of several seeds answered, as fields of `limbeck.evaluation.Predictions`."""

    @torch.no_grad()
    def outputs(
        self,
        model: nn.Module,
        items: Items,
        *,
        batch_size: int = 500,
        autocast: torch.dtype | None = None,
        reads: str | None = None,
    ) -> Tensor:
        """What the model says of every item, `[items, …]` float32 on the CPU, in their order; the model is left in its mode."""
        was_training, device = model.training, next((p.device for p in model.parameters()), torch.device("cpu"))
        model.eval()
        rows, found = [], []
        with torch.autocast(device.type, autocast) if autocast else nullcontext():
            for batch in self.batches(items, batch_size):
                inputs: Any = batch.to(device).inputs["default"]
                if reads is not None:
                    inputs = inputs[reads]
                answer = logits_of(call_model(model, inputs))
                if not isinstance(answer, Tensor):
                    raise ValueError(f"{type(model).__name__} returned {type(answer).__name__}; {self.name} needs logits")
                assert batch.index is not None
                rows.append(batch.index)
                found.append(self.reduce_outputs(answer, batch).float().cpu())
        model.train(was_training)
        return self.concatenate(found)[torch.cat(rows).argsort()]

    def batches(self, items: Items, batch_size: int) -> Iterator[Batch]:
        """Every item once; `Batch.index` says which. Texts of like length stand together, so that little is padded."""
        lengths = getattr(items.storage, "lengths", None)
        if lengths is None:
            return evaluation_batches(items, batch_size)
        order = lengths.argsort()
        return (replace(batch, index=order[batch.index]) for batch in evaluation_batches(items.select(order), batch_size // 4))

    def reduce_outputs(self, answer: Tensor, batch: Batch) -> Tensor:
        """What is kept of the answer to a batch: all of it, where that is not more than memory holds."""
        return answer

    def concatenate(self, outputs: list[Tensor]) -> Tensor:
        return torch.cat(outputs)

    def check(self, model: nn.Module, items: Items, who: str, data: str = "data", reads: str | None = None) -> None:
        """Refuse data that a model cannot be trained or judged on, before anything is trained: no labels, texts that are too
        long, inputs that it does not take, labels that do not fit its outputs, outputs that are no numbers.

        Args:
            who, data: how messages call the model and the data.
        """
        if self.needs_labels and (items.target is None or not len(items.labelled())):
            raise ValueError(f"{data}: the {who} needs labels, and there are none; name the column that holds them (label: …)")
        check_input_limits(model, items, who, data, reads)
        few = items.select(torch.arange(min(8, len(items))))
        try:
            outputs = self.outputs(model, few, reads=reads)
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            reason = str(error).splitlines()[0]
            raise ValueError(f"{data}: the {who} ({type(model).__name__}) cannot read it: {reason}") from error
        if not bool(outputs.isfinite().all()):
            raise ValueError(f"the {who} gives NaN or infinity on the {data}; check its weights and what it is fed")
        self.check_outputs(outputs, items, who, data)
