"""The abstract base of a task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from limbeck import metrics
from limbeck.core.batch import Batch
from limbeck.core.model_io import LOGITS
from limbeck.core.terms import Term
from limbeck.data import Items, evaluation_batches
from limbeck.data.dataset import View
from limbeck.data.fields import build_view
from limbeck.data.fields.views import ViewSpec
from limbeck.data.loading import Labels, class_labels
from limbeck.data.loading.raw_table import RawTable
from limbeck.metrics import Measure
from limbeck.tasks.data_format import DataFormat, labels_remedy
from limbeck.tasks.image_limits import why_unreadable
from limbeck.tasks.input_limits import check_input_limits
from limbeck.tasks.model_outputs import model_outputs, shared_outputs
from limbeck.tasks.predictions import TaskPredictions
from limbeck.utils import distributed

EVALUATION_BATCH = 128  # items that a model runs on at once, where no training says how many


class Task(ABC):
    """What a model predicts, the losses it is trained with, and the metrics it is evaluated by.

    Args:
        metric: one of `metrics`; the first of them by default.

    Attributes:
        name: in recipes and verdicts.
        metrics: the metrics that the task supports.
        needs_labels: whether all data must have labels.
        reads_labels: whether labels of the data are read at all.
        outputs_classes: whether models have one output for each class, in the order of the data's class names.
        one_class: whether outputs are logits of classes of which one is right, for each item or token.
        unit: what reports call the items that models are evaluated on.
        output_name: what reports call the output of a model.
        class_measure: what reports show of each class, if there are classes.
        predictions_type: of predictions that are neither one class nor one number for each item.
        data_format: reads data sets of the task's own format; None: they are read as all others.
    """

    name: ClassVar[str]
    metrics: ClassVar[Sequence[str]]
    needs_labels: ClassVar[bool] = True
    reads_labels: ClassVar[bool] = True
    outputs_classes: ClassVar[bool] = False
    one_class: ClassVar[bool] = True
    unit: ClassVar[str] = "items"
    output_name: ClassVar[str] = LOGITS
    class_measure: ClassVar[str] = "accuracy"
    predictions_type: ClassVar[type[TaskPredictions] | None] = None
    data_format: ClassVar[DataFormat | None] = None

    def __init__(self, metric: str | None = None) -> None:
        chosen = metric or self.metrics[0]
        if chosen not in self.metrics:
            raise ValueError(f"metric: {chosen!r} is no metric of {self.name}; choose one of {', '.join(self.metrics)}")
        self.metric: Measure = metrics.get(chosen)

    @property
    def higher_is_better(self) -> bool:
        return self.metric.higher_is_better

    def prepare(self, teacher: nn.Module | None, train: Items, evaluation: Sequence[Items], *, control: bool) -> None:  # noqa: B027
        """Prepares for a run before training; for tasks that depend on the teacher or on which labels there are.

        Args:
            teacher: None if it is not available.
            evaluation: validation and test data.
            control: whether a control is trained, which needs the labels of `train`.
        """

    def add_evaluation(self, items: Items) -> None:  # noqa: B027
        """Notes items that models are evaluated on after a run was prepared; for tasks that compare with the teacher.

        Args:
            items: with the inputs of all models; the models get them as each reads them.
        """

    def read_labels(self, table: RawTable, columns: Sequence[str], classes: int | None = None) -> Labels:
        """Reads the labels of all rows from their columns; by default one class from one column.

        Args:
            table: its `columns` are a table of pyarrow.
            classes: the number of classes, if it is known.

        Returns:
            The target of all rows, and the names of the classes if they are known.
        """
        return class_labels(table, columns, classes)

    def view(self, items: Items, views: ViewSpec) -> View:
        """The transform of training items in one view: the augmentation in `views`, a list or a mapping by field."""
        return build_view(items, views)

    def training_items(self, items: Items) -> Items:
        """The items that training without a teacher uses: those with a label."""
        return items.labelled()

    def evaluation_items(self, items: Items) -> Items:
        """The items that models are evaluated on: those with a label."""
        return items.labelled()

    @classmethod
    def reported_classes(cls, classes: Sequence[str]) -> Sequence[str]:
        """What reports show `class_measure` of, given the names of the classes; by default the classes themselves."""
        return classes

    @property
    def needs_teacher(self) -> bool:
        """Whether the metric compares with the teacher, which must then be available."""
        return False

    @property
    def may_need_teacher(self) -> bool:
        """Whether that is not known before the data is."""
        return False

    @abstractmethod
    def hard_terms(self, student: str = "student") -> list[Term]:
        """The terms of the control: labels only."""

    @abstractmethod
    def soft_terms(self, temperature: float, student: str = "student") -> list[Term]:
        """The terms that compare outputs with the teacher's, at a temperature if the task has one."""

    def finish_control(self, model: nn.Module, train: Items) -> None:  # noqa: B027
        """Fits in place, after its training, what a control is evaluated by and cannot learn from labels; by default nothing.

        Args:
            model: trained on the labels.
            train: all training items, as the model reads them.
        """

    def check_objective(self, name: str) -> None:  # noqa: B027
        """Raises ValueError if outputs of this task cannot be compared by an objective; all can by default."""

    @abstractmethod
    def check_outputs(self, outputs: Tensor, items: Items, who: str, data: str) -> None:
        """Raises ValueError if the outputs do not fit the labels."""

    @abstractmethod
    def compute_metrics(self, outputs: Tensor, items: Items) -> Mapping[str, float]:
        """Metrics over the labelled items, by name, with the metric of the task among them."""

    def condense(self, outputs: Tensor, items: Items) -> Any:
        """What is kept of the outputs of one model until those of all seeds are there; by default all."""
        return outputs

    @abstractmethod
    def to_predictions(self, outputs: Sequence[Any], items: Items) -> Mapping[str, Any]:
        """What `condense` gave for several seeds as fields of `limbeck.evaluation.Predictions`."""

    @torch.no_grad()
    def outputs(
        self,
        model: nn.Module,
        items: Items,
        *,
        batch_size: int = EVALUATION_BATCH,
        autocast: torch.dtype | None = None,
        reads: str | None = None,
        workers: int | None = None,
        among_processes: bool = False,
    ) -> Tensor:
        """Outputs of all items in their order, `[items, …]` float32 on the CPU.

        The modes of the model and its parts are restored, after an error too.

        Args:
            batch_size: items that the model runs on at once.
            autocast: data type of mixed precision; None: float32.
            reads: the field that the model is called with; None: all inputs.
            workers: processes that read and decode items; None: chosen by `evaluation_batches`.
            among_processes: whether each process of the run computes a part. All of them must call it, and all get all outputs.
        """
        compute = shared_outputs if among_processes and distributed.world_size() > 1 else model_outputs
        return compute(self, model, items, batch_size=batch_size, autocast=autocast, reads=reads, workers=workers)

    @property
    def one_shape(self) -> bool:
        """Whether the outputs of all batches have one shape but for their first size."""
        return type(self).concatenate is Task.concatenate

    def batches(self, items: Items, batch_size: int, workers: int | None = None) -> Iterator[Batch]:
        """Every item once, with its row in `Batch.index`. Texts are sorted by length, which keeps padding small."""
        lengths = getattr(items.storage, "lengths", None)
        if lengths is None:
            return evaluation_batches(items, batch_size, workers)
        order = lengths.argsort()
        found = evaluation_batches(items.select(order), batch_size, workers)
        return (replace(batch, index=order[batch.index]) for batch in found)

    def reduce_outputs(self, outputs: Tensor, batch: Batch) -> Tensor:
        """What is kept of the outputs of a batch; all of it by default."""
        return outputs

    def concatenate(self, outputs: list[Tensor]) -> Tensor:
        return torch.cat(outputs)

    def check(self, model: nn.Module, items: Items, who: str, data: str = "data", reads: str | None = None) -> None:
        """Checks before training that a model can be trained or evaluated on data.

        Args:
            who, data: the names of model and data in messages.

        Raises:
            ValueError: there are no labels, texts are too long, the model does not accept the inputs, or its outputs do not
                fit the labels or are not finite.
        """
        if self.needs_labels and (items.target is None or not len(items.labelled())):
            raise ValueError(f"{data}: the {who} needs labels, and there are none; {labels_remedy(self.data_format)}")
        check_input_limits(model, items, who, data, reads)
        few = items.select(torch.arange(min(8, len(items))))
        try:
            outputs = self.outputs(model, few, reads=reads)
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            raise ValueError(f"{data}: the {who} {why_unreadable(model, items, error)}") from error
        if not bool(outputs.isfinite().all()):
            raise ValueError(f"the {who} gives NaN or infinity on the {data}; check its weights and its inputs")
        self.check_outputs(outputs, items, who, data)
