"""Distillation in a script that has a `Trainer` of Transformers: its loss, its arguments and its checkpoints stay.

    from limbeck.integrations.transformers import DistillationTrainer

    terms = [Term(objectives.get("soft_targets", temperature=2), weight=0.5)]
    trainer = DistillationTrainer(student, args, train_dataset=data, teacher=teacher, terms=terms)
    trainer.train()

What a Trainer makes of the loss (steps, devices, precision, logs, checkpoints) is unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch
from datasets import Dataset
from torch import Tensor, nn

try:
    from transformers import DataCollatorWithPadding, Trainer
except ImportError as error:
    raise ImportError("limbeck.integrations.transformers needs transformers: pip install 'limbeck[text]'") from error

from limbeck.core.actors import Actors, frozen, trained
from limbeck.core.batch import Batch
from limbeck.core.criterion import Criterion
from limbeck.core.criterion_builder import DRY_RUN_ITEMS
from limbeck.core.forward_cache import ForwardCache
from limbeck.core.model_io import logits_of, preserve_modes
from limbeck.core.schedules import Schedule, schedule
from limbeck.core.signals import tensors_of
from limbeck.core.terms import Term
from limbeck.integrations import checks
from limbeck.integrations.columns import Beside, Columns
from limbeck.integrations.saved_terms import load_learned, save_learned
from limbeck.integrations.term_averages import Tally
from limbeck.utils import distributed

if TYPE_CHECKING:
    from transformers import Trainer as Base
else:
    Base = object  # a mixin stands before any Trainer


class Distilling(Base):  # type: ignore[misc]
    """A mixin that adds terms to the loss of any `Trainer`: `class MyTrainer(Distilling, Seq2SeqTrainer)`.

    The loss of an update is labels·L + Σ_k weight_k·value_k: L the Trainer's own loss (of the student's labels, smoothed, or
    from a `compute_loss` of yours), value_k the mean of term k over the items or tokens of all accumulated batches and
    processes. Objectives that compare items see those of one batch of one process.

    One run of the student serves its own loss and all terms. What the terms learn themselves (adapters) is trained with the
    student, is in the Trainer's checkpoints as `criterion.safetensors`, and stays out of `save_model`. Evaluation is the
    Trainer's own: the student alone, its own loss. The logs hold `loss_labels`, L, and `loss_NAME` of each term.

    Padding counts nowhere: the attention mask says which tokens are real; of models that write, the tokens count that predict
    a labelled one. Columns of the data set whose names begin with `teacher_` are what the teacher reads instead of the
    student's columns.

    Args:
        teacher: the model that is asked; put on the student's device, into evaluation mode, and out of the graph. It runs in
            its own precision, or under the Trainer's mixed precision. None where the terms need none.
        terms: what is compared; see `limbeck.Term`.
        labels: weight of the Trainer's own loss, a number of 0 or more or a schedule; 0 needs no labels.
        teacher_processing_class: the teacher's tokenizer, which pads the `teacher_` columns.
        *args, **options: everything else that the Trainer takes.

    Raises:
        ValueError: a negative weight; sharded training or several GPUs in one process; a teacher in several precisions. When
            training begins: unknown taps, shapes that no adapter bridges, vocabularies that differ, token by token comparison
            of texts that are tokenised differently, terms that a compiled student cannot serve. At the first such batch: texts
            longer than a model has positions for.
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
            raise ValueError(f"labels={labels}: it weighs the Trainer's own loss; use 0 or more, such as 0.5")
        if self.is_fsdp_enabled or self.is_deepspeed_enabled or self.args.n_gpu > 1:
            raise ValueError(
                "args: distillation runs on one device, or on several with one process each (torchrun, accelerate launch), not "
                "sharded by FSDP or DeepSpeed and not on several GPUs from one process"
            )
        if teacher is not None:
            checks.precision(teacher)
        self.teacher, self.terms, self.labels = teacher, list(terms), schedule(labels)
        self.teacher_processing_class = teacher_processing_class
        if teacher_processing_class is not None:
            self.data_collator = Beside(self.data_collator, DataCollatorWithPadding(teacher_processing_class))
        self._built: tuple[Criterion, Columns] | None = None
        self._counts: Tensor | None = None  # of the items of an update, for each term
        self._tally = Tally()

    # --- before the first step ---------------------------------------------------------------------------------------

    @property
    def criterion(self) -> Criterion:
        """The terms on this student and teacher; built when first asked for, from two items of the training set."""
        if self._built is None or self._built[1].student is not self.model:
            if self._built is not None:
                self._built[0].close()
            self._built = self._build()
        return self._built[0]

    @property
    def columns(self) -> Columns:
        """Whose the columns of a batch are."""
        same = self._built is not None and self._built[1].student is self.model
        return self._built[1] if same and self._built else Columns(self.model, self.teacher, self.label_names)

    def _build(self) -> tuple[Criterion, Columns]:
        columns, actors = self.columns, {"student": trained(self.model, reads="student")}
        if self.teacher is not None:
            if not any(hasattr(self.teacher, name) for name in ("hf_device_map", "quantization_method")):
                self.teacher.to(self.args.device)
            precision = checks.autocast_of(self.accelerator.mixed_precision)
            actors["teacher"] = frozen(self.teacher, reads="teacher", precision=precision)
        inputs = self._example()
        checks.vocabulary(columns, inputs, self.processing_class, self.teacher_processing_class)
        criterion = Criterion(self.terms, actors=Actors(actors), example=columns.batch(inputs), seed=self.args.seed)
        checks.arguments(self.args, criterion)
        checks.tokens(criterion, columns, inputs)
        self._check_own_loss(columns.own(inputs))
        return criterion, columns

    def _check_own_loss(self, own: dict[str, Any]) -> None:
        """A model whose `forward` takes any keyword is told how many items an update has, and the Trainer then adds up its
        losses instead of averaging them. One that ignores what it was told gives means, and must not be told."""
        if not self.model_accepts_loss_kwargs or not any(name in own for name in self.label_names):
            return
        loss = super().compute_loss
        with preserve_modes(self.model):
            self.model.eval()
            if checks.ignores_count(lambda count: loss(self.model, dict(own), num_items_in_batch=count)):
                self.model_accepts_loss_kwargs = False

    def _example(self) -> Any:
        """Two items of the training set as the loop will see them; the generator of the loop's order stands still."""
        dataset, collate = self.train_dataset, self.data_collator
        if dataset is None:
            raise ValueError("train_dataset: None; the terms are built from two of its items, so hand it over")
        if isinstance(dataset, Dataset):
            dataset = self._remove_unused_columns(dataset, "training")
        else:
            collate = self._get_collator_with_removed_columns(collate, "training")
        with torch.random.fork_rng(devices=[]):
            return self._prepare_inputs(collate(list(islice(dataset, DRY_RUN_ITEMS))))

    def _set_signature_columns_if_needed(self) -> None:
        super()._set_signature_columns_if_needed()
        self._signature_columns += [name for name in self.columns.for_teacher if name not in self._signature_columns]

    def create_optimizer(self, *args: Any) -> Any:
        """The Trainer's optimizer, which also gets what the terms learn."""
        learns = dict(self.criterion.named_parameters())
        if learns and self.lr_scheduler is not None and self.optimizer is not None:
            raise ValueError(
                "optimizers: a term learns parameters of its own, which a scheduler made before does not know; hand over "
                "(optimizer, None) and choose lr_scheduler_type"
            )
        optimizer = super().create_optimizer(*args)
        known = {id(p) for group in optimizer.param_groups for p in group["params"]}
        decayed = set(self.get_decay_parameter_names(self.criterion))
        for decay in (True, False):
            group = [p for name, p in learns.items() if id(p) not in known and (name in decayed) is decay]
            if group:
                optimizer.add_param_group({"params": group, "weight_decay": self.args.weight_decay if decay else 0.0})
        return optimizer

    # --- every step --------------------------------------------------------------------------------------------------

    def get_batch_samples(self, *args: Any, **options: Any) -> Any:
        """The batches of one update. Each term is averaged over all of them, so their items are counted here."""
        samples, items = super().get_batch_samples(*args, **options)
        if samples:
            counts = [self.criterion.counts(self.columns.batch(self._prepare_inputs(one))) for one in samples]
            self._counts = distributed.all_reduce_sum(torch.stack(counts).sum(0)).clamp(min=1)
        self.criterion.zero_grad()  # the Trainer clears the student's gradients only
        return samples, items

    def training_step(self, *args: Any, **options: Any) -> Tensor:
        """One forward and backward pass. What the terms learn lies outside of the student that the processes share."""
        loss: Tensor = super().training_step(*args, **options)
        if self.accelerator.sync_gradients and distributed.world_size() > 1:
            distributed.all_reduce_gradients(self.criterion.parameters())
            for parameter in self.criterion.parameters():
                if parameter.grad is not None:
                    parameter.grad.div_(distributed.world_size())
        return loss

    def compute_loss(self, model: nn.Module, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
        """The loss in training; in evaluation the Trainer's own, without the teacher."""
        if not model.training:
            own = self.columns.own(inputs)
            return super().compute_loss(model, own, return_outputs, num_items_in_batch=num_items_in_batch)
        batch, said = self.columns.batch(inputs), Said()
        progress = self.state.global_step / max(self.state.max_steps, 1)
        share, weight = self._share(num_items_in_batch), self.labels(progress)

        def run(**_: Any) -> Any:
            said.loss, said.outputs = self._run_student(model, inputs, batch, num_items_in_batch, weight)
            return said.outputs

        values = {}
        if weight == 0 or any(term.weight(progress) for term in self.criterion.terms):  # type: ignore[operator]
            values = self._compare(batch, run, progress)
        else:
            run()
        total = share * values.pop("loss") if values else torch.zeros((), device=batch.device)
        if said.loss is not None:
            total, values["labels"] = total + weight * said.loss, said.loss / share
        elif distributed.world_size() > 1:  # processes wait for a gradient of all that the outputs came from
            total = total + 0 * sum(part.sum() for part in tensors_of(logits_of(said.outputs)))
        if self.is_in_train:
            self._tally.add(values, 1 / self.current_gradient_accumulation_steps)
        return (total, said.outputs) if return_outputs else total

    def _compare(self, batch: Batch, student: Callable[..., Any], progress: float) -> dict[str, Tensor]:
        """The values of the terms, listening to the student while `student()` runs it through what Accelerate put around it."""
        criterion = self.criterion
        forward_cache = ForwardCache(criterion.probes, batch, criterion.plan, models={"student": student}, set_modes=False)
        counts = self._counts if self.is_in_train else None
        values = criterion(batch, progress=progress, forward_cache=forward_cache, counts=counts)
        criterion.update_teachers(forward_cache, batch)
        found: dict[str, Tensor] = values
        return found

    def _run_student(self, model: nn.Module, inputs: Any, batch: Batch, items: Any, weight: float) -> tuple[Tensor | None, Any]:
        """The Trainer's own loss with the outputs that it was computed from; the outputs alone where it has no weight."""
        if weight == 0:
            return None, model(**batch.inputs["default"]["student"])
        own = self.columns.own(inputs)
        try:
            loss, outputs = super().compute_loss(model, dict(own), return_outputs=True, num_items_in_batch=items)
        except ValueError as error:
            if any(name in own for name in self.label_names):
                raise
            raise ValueError(
                f"labels={weight}: the batch holds none of {', '.join(self.label_names) or 'the labels'} ({error}); name the "
                "column so, or hand over labels=0 to learn from the teacher alone"
            ) from error
        return loss, outputs[1:] if isinstance(outputs, tuple) else outputs

    def _share(self, items: Any) -> float:
        """What a sum over all of an update is multiplied by, since Trainer and processes will average what they were given."""
        if not self.is_in_train:
            return 1.0
        scaled: bool | None = getattr(self, "loss_is_scaled_for_ga", None)
        if scaled is None:
            scaled = (self.model_accepts_loss_kwargs and items is not None) or self.compute_loss_func is not None
        return float(distributed.world_size() * (1 if scaled else self.current_gradient_accumulation_steps))

    # --- evaluation, logs, checkpoints ------------------------------------------------------------------------------

    def prediction_step(self, model: nn.Module, inputs: Any, *args: Any, **options: Any) -> Any:
        """The Trainer's own; the student does not see the teacher's columns."""
        own = self.columns.own(inputs)
        self.columns.positions["student"].refuse_longer(own)
        return super().prediction_step(model, own, *args, **options)

    def log(self, logs: dict[str, float], *args: Any, **options: Any) -> None:
        """The Trainer's logs of training, with the value of each term."""
        values = self._tally.means() if "loss" in logs else {}
        super().log(logs | {f"loss_{name}": value for name, value in values.items()}, *args, **options)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        super()._save_optimizer_and_scheduler(output_dir)
        if self.args.should_save:
            save_learned(self.criterion, output_dir)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            load_learned(self.criterion, checkpoint)
        super()._load_optimizer_and_scheduler(checkpoint)


class DistillationTrainer(Distilling, Trainer):  # type: ignore[misc]
    """The `Trainer` of Transformers with a teacher: see `Distilling`."""


@dataclass
class Said:
    """What one run of the student gave: the Trainer's own loss, and the outputs."""

    loss: Tensor | None = None
    outputs: Any = None
