"""The `Trainer` with a teacher, and a mixin that adds one to any `Trainer`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from transformers import DataCollatorWithPadding, Trainer

from limbeck.core.batch import DEFAULT_VIEW, Batch
from limbeck.core.criterion import Criterion
from limbeck.core.model_io import logits_of, preserve_modes
from limbeck.core.schedules import Schedule, schedule
from limbeck.core.signals import tensors_of
from limbeck.core.terms import Term
from limbeck.engine.term_averages import TermAverages
from limbeck.integrations.teacher_checks import require_one_precision, require_own_weights
from limbeck.integrations.transformers import checks
from limbeck.integrations.transformers.collator import TwoTokenizerCollator
from limbeck.integrations.transformers.columns import BatchColumns
from limbeck.integrations.transformers.term_parameters import add_to_optimizer, load_criterion, save_criterion
from limbeck.integrations.transformers.trainer_terms import TrainerTerms, example_inputs
from limbeck.utils import distributed

if TYPE_CHECKING:
    from transformers import Trainer as Base
else:
    Base = object  # the mixin is put before any Trainer


@dataclass
class StudentRun:
    """One forward pass of the student: the Trainer's own loss, if it has a weight, and the outputs."""

    loss: Tensor | None = None
    outputs: Any = None


class DistillationMixin(Base):  # type: ignore[misc]
    """Adds terms to the loss of any `Trainer`: `class MyTrainer(DistillationMixin, Seq2SeqTrainer)`.

    The loss of an update is labels·L + Σ_k weight_k·value_k: L is the Trainer's own loss (of the student's labels, smoothed, or
    from a `compute_loss` of yours), value_k the mean of term k over the items or tokens of all accumulated batches and
    processes. Objectives that compare items see those of one batch of one process.

    One forward pass of the student serves its own loss and all terms. Parameters of the terms (adapters) are trained with the
    student, are saved in the Trainer's checkpoints as `criterion.safetensors`, and are not part of `save_model`. Evaluation is
    the Trainer's own: the student alone, its own loss. The logs contain `loss_labels`, L, and `loss_NAME` of each term.

    Padding never counts: the attention mask marks the real tokens. For models that generate text the tokens count that predict
    a labelled one. Columns of the data set whose names begin with `teacher_` are what the teacher reads instead of the
    student's columns. If the student's labels are independent (`problem_type="multi_label_classification"`), `soft_targets` is
    computed as `binary_soft_targets`, which is summed over labels.

    Args:
        teacher: the teacher; moved to the student's device, put into evaluation mode, and run without gradient, in its own
            precision or under the Trainer's mixed precision. None if the terms need none.
        terms: what is compared; see `limbeck.Term`.
        labels: weight of the Trainer's own loss, a number of 0 or more or a schedule; 0 needs no labels.
        teacher_processing_class: the teacher's tokenizer, which pads the `teacher_` columns.
        *args, **options: everything else that the Trainer takes.

    Raises:
        ValueError: a negative weight; sharded training or several GPUs in one process; a teacher in several precisions. When
            training begins: unknown taps, shapes that no adapter bridges, vocabularies that differ, token by token comparison
            of texts that are tokenised differently, terms whose signals a compiled student does not have. At the first such
            batch: texts longer than a model has positions for.
    """

    data_collator: Any
    model_accepts_loss_kwargs: bool

    def __init__(
        self,
        *args: Any,
        teacher: nn.Module | None = None,
        terms: Sequence[Term],
        labels: float | Schedule = 0.5,
        teacher_processing_class: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        if isinstance(labels, int | float) and labels < 0:
            raise ValueError(f"labels={labels}: it is the weight of the Trainer's own loss; use 0 or more, such as 0.5")
        checks.require_one_device(self)
        if teacher is not None:
            require_one_precision(teacher)
            require_own_weights(self.model, teacher)
        self.teacher, self.terms, self.labels = teacher, list(terms), schedule(labels)
        self.teacher_processing_class = teacher_processing_class
        if teacher_processing_class is not None:
            self.data_collator = TwoTokenizerCollator(self.data_collator, DataCollatorWithPadding(teacher_processing_class))
        self._built: TrainerTerms | None = None
        self._averages = TermAverages()

    # --- before the first step ---------------------------------------------------------------------------------------

    @property
    def criterion(self) -> Criterion:
        """The terms on this student and teacher; built on first access, from two items of the training set."""
        return self._trainer_terms.criterion

    @property
    def columns(self) -> BatchColumns:
        """Which columns of a batch belong to the student and to the teacher."""
        present = self._present_terms()
        return BatchColumns(self.model, self.teacher, self.label_names) if present is None else present.columns

    def _present_terms(self) -> TrainerTerms | None:
        """The terms, if they are built on the present student; `model_init` replaces it."""
        return self._built if self._built is not None and self._built.columns.student is self.model else None

    @property
    def _trainer_terms(self) -> TrainerTerms:
        present = self._present_terms()
        if present is None:
            if self._built is not None:
                self._built.criterion.close()
            example = example_inputs(self)
            present = TrainerTerms(self, self.columns, example)
            self._check_own_loss(present.columns.for_own_loss(example))
            self._built = present
        return present

    def _check_own_loss(self, own: dict[str, Any]) -> None:
        """Finds out whether the student's own loss can be given the number of items of an update.

        The Trainer passes it to models whose `forward` takes any keyword, and then adds up their losses instead of averaging
        them. A model that ignores the number returns means, and must not get it.
        """
        if not self.model_accepts_loss_kwargs or not any(name in own for name in self.label_names):
            return
        loss = super().compute_loss
        with preserve_modes(self.model):
            self.model.eval()
            if checks.ignores_count(lambda count: loss(self.model, dict(own), num_items_in_batch=count)):
                self.model_accepts_loss_kwargs = False

    def _set_signature_columns_if_needed(self) -> None:
        super()._set_signature_columns_if_needed()
        self._signature_columns += [name for name in self.columns.for_teacher if name not in self._signature_columns]

    def create_optimizer(self, *args: Any) -> Any:
        """Returns the Trainer's optimizer with the parameters of the terms."""
        checks.require_open_scheduler(self, self.criterion)
        optimizer = super().create_optimizer(*args)
        add_to_optimizer(optimizer, self.criterion, self.get_decay_parameter_names(self.criterion), self.args.weight_decay)
        return optimizer

    # --- every step --------------------------------------------------------------------------------------------------

    def get_batch_samples(self, *args: Any, **options: Any) -> Any:
        """Returns the batches of one update. Each term is averaged over all of them, so their items are counted here."""
        samples, items = super().get_batch_samples(*args, **options)
        if samples:
            self._trainer_terms.count_items(self.columns.batch(self._prepare_inputs(one)) for one in samples)
        self.criterion.zero_grad()  # the Trainer clears the student's gradients only
        return samples, items

    def training_step(self, *args: Any, **options: Any) -> Tensor:
        """One forward and backward pass. DDP averages the student's gradients; those of the terms are averaged here."""
        loss: Tensor = super().training_step(*args, **options)
        if self.accelerator.sync_gradients and distributed.world_size() > 1:
            distributed.average_gradients(self.criterion.parameters())
        return loss

    def compute_loss(self, model: nn.Module, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
        """Returns the loss with the terms in training, the Trainer's own in evaluation."""
        if not model.training:
            own = self.columns.for_own_loss(inputs)
            return super().compute_loss(model, own, return_outputs, num_items_in_batch=num_items_in_batch)
        batch, run = self.columns.batch(inputs), StudentRun()
        progress = self.state.global_step / max(self.state.max_steps, 1)
        scale, weight = self._loss_scale(num_items_in_batch), self.labels(progress)

        def run_student(**_: Any) -> Any:
            run.loss, run.outputs = self._run_student(model, inputs, batch, num_items_in_batch, weight)
            return run.outputs

        values = {}
        if weight == 0 or any(term.weight(progress) for term in self.criterion.terms):  # type: ignore[operator]
            values = self._trainer_terms.values(batch, run_student, progress, of_update=self.is_in_train)
        else:
            run_student()
        total = scale * values.pop("loss") if values else torch.zeros((), device=batch.device)
        if run.loss is not None:
            total, values["labels"] = total + weight * run.loss, run.loss / scale
        elif distributed.world_size() > 1:  # DDP waits for a gradient of every parameter behind the outputs
            total = total + 0 * sum(part.sum() for part in tensors_of(logits_of(run.outputs)))
        if self.is_in_train:
            self._averages.add(values, 1 / self.current_gradient_accumulation_steps)
        return (total, run.outputs) if return_outputs else total

    def _run_student(self, model: nn.Module, inputs: Any, batch: Batch, items: Any, weight: float) -> tuple[Tensor | None, Any]:
        """The Trainer's own loss and the outputs that it was computed from; the outputs alone if it has no weight."""
        if weight == 0:
            return None, model(**batch.inputs[DEFAULT_VIEW]["student"])
        own = self.columns.for_own_loss(inputs)
        try:
            loss, outputs = super().compute_loss(model, dict(own), return_outputs=True, num_items_in_batch=items)
        except ValueError as error:
            if any(name in own for name in self.label_names):
                raise
            raise checks.missing_labels(self.label_names, weight, error) from error
        return loss, outputs[1:] if isinstance(outputs, tuple) else outputs

    def _loss_scale(self, items: Any) -> float:
        """The factor of a sum over a whole update, as the Trainer and DDP average over batches and processes."""
        if not self.is_in_train:
            return 1.0
        scaled: bool | None = getattr(self, "loss_is_scaled_for_ga", None)
        if scaled is None:
            scaled = (self.model_accepts_loss_kwargs and items is not None) or self.compute_loss_func is not None
        return float(distributed.world_size() * (1 if scaled else self.current_gradient_accumulation_steps))

    # --- evaluation, logs, checkpoints ------------------------------------------------------------------------------

    def prediction_step(self, model: nn.Module, inputs: Any, *args: Any, **options: Any) -> Any:
        """Runs the Trainer's own step without the teacher's columns."""
        own = self.columns.for_own_loss(inputs)
        self.columns.limits["student"].refuse_longer(own)
        return super().prediction_step(model, own, *args, **options)

    def log(self, logs: dict[str, float], *args: Any, **options: Any) -> None:
        """Adds the value of each term to the Trainer's logs of training."""
        values = self._averages.means() if "loss" in logs else {}
        super().log(logs | {f"loss_{name}": value for name, value in values.items()}, *args, **options)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        super()._save_optimizer_and_scheduler(output_dir)
        if self.args.should_save:
            save_criterion(self.criterion, output_dir)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            load_criterion(self.criterion, checkpoint)
        super()._load_optimizer_and_scheduler(checkpoint)


class DistillationTrainer(DistillationMixin, Trainer):  # type: ignore[misc]
    """The `Trainer` of Transformers with a teacher: see `DistillationMixin`."""
