"""Test items on which a run trains, or by which it chooses: found by their content keys, before anything is trained."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from limbeck.data import Items
from limbeck.evaluation.shared_items import SharedItems
from limbeck.experiment.checks.source_items import items_of_source
from limbeck.experiment.experiment import Experiment

SHOWN = 3  # rows that are named


@dataclass(frozen=True)
class SeenItems:
    """Content keys of the items that a run trains on and chooses by, int64 `[N]`."""

    training: Tensor
    validation: Tensor

    @classmethod
    def of(cls, experiment: Experiment, train: Items | None, validation: Items | None) -> SeenItems:
        """Returns those of an experiment: its training data, the sources of its updates, and its validation data."""
        chosen = torch.empty(0, dtype=torch.int64) if validation is None else validation.keys
        return cls(_keys(_training_data(experiment, train)), chosen)

    def shared_with(self, test: Items) -> SharedItems | None:
        """Returns the test items among them; None if there are none."""
        trained = torch.isin(test.keys, self.training)
        chosen = torch.isin(test.keys, self.validation) & ~trained
        rows = (trained | chosen).nonzero()[:SHOWN, 0].tolist()
        if not rows:
            return None
        return SharedItems(training=int(trained.sum()), validation=int(chosen.sum()), items=len(test), rows=rows)


def check_shared(seen: SeenItems, test: Items | None, *, allowed: bool) -> SharedItems | None:
    """Warns of test items that a run has seen, and returns them.

    Raises:
        ValueError: it has seen all of them, and this is not `allowed`.
    """
    shared = None if test is None else seen.shared_with(test)
    if shared is None:
        return None
    if shared.count == shared.items and not allowed:
        raise ValueError(
            f"{shared.describe()}, so there is nothing new to measure on. Give other test data: name a split, or keep a part "
            "of the items back. If this is meant, set data.allow_shared_items: true (in Python allow_shared_items=True)"
        )
    warnings.warn(f"{shared.describe()}; results on them say little about new data", stacklevel=2)
    return shared


def warn_of_shared_validation(experiment: Experiment, train: Items | None, validation: Items | None) -> None:
    """Warns of validation items that are training items too: they choose the state that remembers them best."""
    if validation is None:
        return
    trained = torch.isin(validation.keys, _keys(_training_data(experiment, train)))
    if count := int(trained.sum()):
        rows = trained.nonzero()[:SHOWN, 0].tolist()
        some = ", ".join(map(str, rows)) + (", …" if count > len(rows) else "")
        warnings.warn(
            f"validation data: {count:,} of {len(validation):,} items are in the training data too (rows {some}); the state "
            "that is kept is chosen by items that it remembers",
            stacklevel=2,
        )


def _training_data(experiment: Experiment, train: Items | None) -> Iterator[Items]:
    """All items that some model of the experiment learns from."""
    yield from experiment.further_training_data
    if train is not None:
        yield train
    for plan in experiment.plans.values():
        for update in (update for stage in plan.stages for update in stage.updates):
            yield from items_of_source(update.source)


def _keys(data: Iterable[Items]) -> Tensor:
    return torch.cat([torch.empty(0, dtype=torch.int64), *(items.keys for items in data)])
