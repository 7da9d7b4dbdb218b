"""The terms of a Trainer, built on its student and teacher."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor

from limbeck.core.actors import Actors, frozen, trained
from limbeck.core.batch import Batch
from limbeck.core.criterion import Criterion
from limbeck.core.criterion_builder import DRY_RUN_ITEMS
from limbeck.core.forward_cache import ForwardCache
from limbeck.integrations.transformers import checks
from limbeck.integrations.transformers.columns import BatchColumns
from limbeck.integrations.transformers.multilabel import has_independent_labels, independent_terms, labels_of
from limbeck.utils import distributed


class TrainerTerms:
    """The terms of a Trainer on its present student.

    Args:
        trainer: a `DistillationMixin`.
        columns: the columns of its batches.
        example: a batch of a few items, from which adapters are built.

    Attributes:
        columns: as given.
        criterion: the terms.

    Raises:
        ValueError: the terms cannot be computed on this student, teacher and data.
    """

    def __init__(self, trainer: Any, columns: BatchColumns, example: Mapping[str, Any]) -> None:
        self.columns = columns
        self._counts: Tensor | None = None  # items of an update, for each term
        actors = {"student": trained(columns.student, reads="student")}
        if columns.teacher is not None:
            if not any(hasattr(columns.teacher, name) for name in ("hf_device_map", "quantization_method")):
                columns.teacher.to(trainer.args.device)
            precision = checks.autocast_of(trainer.accelerator.mixed_precision)
            actors["teacher"] = frozen(columns.teacher, reads="teacher", precision=precision)
        checks.require_same_vocabulary(columns, example, trainer.processing_class, trainer.teacher_processing_class)
        batch = columns.batch(example)
        terms = trainer.terms
        if has_independent_labels(columns.student, labels_of(example, columns.labels)):
            terms = independent_terms(terms)
        self.criterion = Criterion(terms, actors=Actors(actors), example=batch, seed=trainer.args.seed)
        checks.require_signals(trainer.args, self.criterion)
        checks.require_aligned_tokens(self.criterion, columns, example)

    def count_items(self, batches: Iterable[Batch]) -> None:
        """Count the items of an update, given all its batches: each term is averaged over them, on all processes."""
        counts = torch.stack([self.criterion.counts(batch) for batch in batches])
        self._counts = distributed.all_reduce_sum(counts.sum(0)).clamp(min=1)

    def values(self, batch: Batch, run_student: Callable[..., Any], progress: float, *, of_update: bool) -> dict[str, Tensor]:
        """Returns the weighted sum of the terms as `loss`, and the value of each.

        Args:
            batch: the batch.
            run_student: runs the student inside Accelerate's wrappers; the probes are attached meanwhile.
            progress: of the training, 0 to 1.
            of_update: the batch is part of the update whose items were counted; otherwise it is averaged by itself.
        """
        criterion, models = self.criterion, {"student": run_student}
        forward_cache = ForwardCache(criterion.probes, batch, criterion.plan, models=models, set_modes=False)
        counts = self._counts if of_update else None
        values: dict[str, Tensor] = criterion(batch, progress=progress, forward_cache=forward_cache, counts=counts)
        criterion.update_teachers(forward_cache, batch)
        return values


def example_inputs(trainer: Any) -> Any:
    """Returns two items of the training set as the loop will see them; the random state of the loop's order does not change.

    Raises:
        ValueError: the Trainer has no training set.
    """
    dataset, collate = trainer.train_dataset, trainer.data_collator
    if dataset is None:
        raise ValueError("train_dataset: None; the terms are built from two of its items, so pass it")
    if isinstance(dataset, Dataset):
        dataset = trainer._remove_unused_columns(dataset, "training")
    else:
        collate = trainer._get_collator_with_removed_columns(collate, "training")
    with torch.random.fork_rng(devices=[]):
        return trainer._prepare_inputs(collate(list(islice(dataset, DRY_RUN_ITEMS))))
