"""`OverlappingDataset`: each batch holds half of the items of the batch before, in other views."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from limbeck.core.batch import Batch
from limbeck.core.source import BatchPosition
from limbeck.data.dataset import Dataset, View
from limbeck.data.epoch_order import epoch_order
from limbeck.data.items import Items
from limbeck.data.workers import is_worker


class OverlappingDataset(Dataset):
    """Batches whose first half are the new items of the batch before, and whose second half are new (DLB, 2203.16172).

    An item is in two consecutive batches of an epoch, each time in a view of its own; so an epoch has twice as many steps as
    batches of this size would need.

    Args:
        batch_size: items in a global batch, an even number.
        items, views, prefetch, workers: as of `Dataset`.

    Raises:
        ValueError: a batch size that is odd, or fewer items than half a batch.
    """

    def __init__(
        self,
        items: Items,
        batch_size: int = 128,
        views: Mapping[str, View] | None = None,
        *,
        prefetch: int = 0,
        workers: int | None = None,
    ) -> None:
        if batch_size % 2:
            raise ValueError(
                f"batch_size={batch_size}: half of each batch is repeated from the one before; give an even number"
            )
        if len(items) < batch_size // 2:
            raise ValueError(f"batch_size={batch_size}: half a batch are more than all {len(items)} items; give a smaller one")
        super().__init__(items, batch_size, views, prefetch=prefetch, workers=workers)
        self.steps_per_epoch = len(items) // (batch_size // 2)
        self._orders: dict[tuple[int, int], Tensor] = {}

    def rows(self, position: BatchPosition) -> Tensor:
        halves = [self._new_rows(position.seed, step) for step in (position.step - 1, position.step)]
        return position.part_of(torch.cat(halves))

    def _new_rows(self, seed: int, step: int) -> Tensor:
        """The rows that are new in this step. Before the first step of a run come the last of an epoch that is not run."""
        epoch, step_in_epoch = divmod(step, self.steps_per_epoch)
        half = self.batch_size // 2
        return self._epoch_rows(seed, epoch)[step_in_epoch * half : (step_in_epoch + 1) * half]

    def _epoch_rows(self, seed: int, epoch: int) -> Tensor:
        orders, wanted = self._orders, (seed, epoch)
        if wanted not in orders:
            lengths = self.items.storage.lengths if self.group_by_length else None
            order = epoch_order(seed, epoch, len(self.items), self.batch_size // 2, self.steps_per_epoch, lengths)
            orders = {**({} if len(orders) > 1 else orders), wanted: order}  # two epochs meet at their border
            self._orders = orders
        return orders[wanted]

    def _compute(self, position: BatchPosition) -> Batch:
        if self.view_count is not None:
            raise ValueError("overlap: a cache repeats few views of an item; leave out one of the two")
        half = self.batch_size // 2
        epochs = [(position.step - 1) // self.steps_per_epoch] * half + [position.step // self.steps_per_epoch] * half
        second = [1] * half + [0] * half
        view = torch.tensor(epochs) * 2 + torch.tensor(second) + 2  # numbers of views are not negative
        return self._augmented(self.rows(position), position.seed, position.part_of(view), floats=not is_worker())
