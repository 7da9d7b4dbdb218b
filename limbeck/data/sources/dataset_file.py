"""`DatasetFile`: a further data set of a recipe as a source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from limbeck.core.batch import DEFAULT_VIEW, Batch
from limbeck.core.source import BatchPosition, DataReader, Source, registry, require_counts
from limbeck.data.dataset import Dataset
from limbeck.data.image.pipeline import Pipeline
from limbeck.data.items import Items


@registry.register("dataset")
class DatasetFile(Source):
    """Batches of a data set that is read when the run starts: `{dataset: {path: texts.parquet, label: false}}`.

    In Python, load the items and use `limbeck.data.Dataset`.

    Args:
        batch_size: items in a global batch.
        augment: transforms of images, as in `training.augment` of a recipe.
        data: path and columns, the fields of `data.train` of a recipe.

    Raises:
        ValueError: no path; a batch size below 1; unknown transforms.
    """

    def __init__(self, *, batch_size: int = 128, augment: Sequence[str | Mapping[str, Any]] = (), **data: Any) -> None:
        if "path" not in data:
            raise ValueError("source 'dataset': path is missing; name a file, a folder or a data set: {dataset: {path: …}}")
        require_counts("source 'dataset'", batch_size=batch_size)
        self.batch_size, self.data = batch_size, data
        self.pipeline = Pipeline.from_spec(augment) if augment else None
        self._dataset: Dataset | None = None

    @property
    def items(self) -> Items | None:
        """What it draws from; None before its file is read."""
        return None if self._dataset is None else self._dataset.items

    @property
    def has_epochs(self) -> bool:
        return True

    def load(self, reader: DataReader) -> None:
        views = None if self.pipeline is None else {DEFAULT_VIEW: self.pipeline}
        self._dataset = Dataset(reader.items(self.data), self.batch_size, views)
        self.samples, self.steps_per_epoch = self._dataset.samples, self._dataset.steps_per_epoch

    def batch(self, position: BatchPosition) -> Batch:
        if self._dataset is None:
            raise ValueError("source 'dataset': its file is not read yet; a recipe reads it when the run starts")
        return self._dataset.batch(position)

    def close(self) -> None:
        if self._dataset is not None:
            self._dataset.close()
