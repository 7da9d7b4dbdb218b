"""Predicted tags of the words of sentences."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from limbeck.metrics import Floats, Measure, Metric, Records
from limbeck.metrics.entities import OUTSIDE, entity_counts, entity_types, find_entities, has_prefixes
from limbeck.metrics.metric import ratio
from limbeck.tasks.predictions import TaskPredictions
from limbeck.tasks.text_predictions import TextPredictions

NO_WORD = -1  # behind the end of a sentence
NOTHING = "no entity"


class TagPredictions(TaskPredictions):
    """Tags of words, as predicted and as they are; entities are made of them.

    Args:
        tags: [seeds, sentences, words], indices of `names`; -1 behind the end of a sentence.
        true: [sentences, words], likewise.
        names: of the tags, `O` among them.
        words: of each sentence, for display; not saved.

    Raises:
        ValueError: shapes that do not fit.
    """

    task = "token_classification"

    def __init__(
        self, tags: NDArray[Any], true: NDArray[Any], names: Sequence[str], words: Sequence[Sequence[str]] | None = None
    ) -> None:
        self.tags, self.true = np.asarray(tags, np.int32), np.asarray(true, np.int32)
        if self.tags.ndim != 3 or self.true.shape != self.tags.shape[1:]:
            shapes = f"tags {self.tags.shape} and true ones {self.true.shape}"
            raise ValueError(f"{shapes} are not [seeds, sentences, words] and [sentences, words]")
        self.names, self.words = list(names), words
        self.types, self.prefixed = entity_types(self.names), has_prefixes(self.names)

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        names = np.frombuffer(json.dumps(self.names).encode(), np.uint8)
        return {"tags": self.tags, "true": self.true, "names": names}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> TagPredictions:
        return cls(arrays["tags"], arrays["true"], json.loads(arrays["names"].tobytes()))

    def names_of(self, tags: NDArray[np.int32]) -> list[str]:
        """The tags of one sentence by name."""
        return [self.names[tag] for tag in tags[tags >= 0]]

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """Entities that are found, predicted and true, [seeds, sentences, types, 3]."""
        shape = (*self.tags.shape[:2], len(self.types), 3)
        rows = [
            entity_counts(self.names_of(tags), self.names_of(true), self.types, self.prefixed)
            for of_seed in self.tags
            for tags, true in zip(of_seed, self.true, strict=True)
        ]
        return np.array(rows, np.int64).reshape(shape)

    def item_statistics(self, metric: Measure) -> Floats | Records:
        words = self.true >= 0
        right = ((self.tags == self.true) & words).sum(-1)
        every = np.broadcast_to(words.sum(-1), right.shape)
        outputs = np.concatenate([self.counts.sum(2), right[..., None], every[..., None]], -1).astype(np.float32)
        assert isinstance(metric, Metric)
        return metric.item_statistics(outputs, self.true)

    def quality(self) -> Floats:
        """F1 of the entities of each sentence; 1 where there are none and none is predicted."""
        found, predicted, true = np.moveaxis(self.counts.sum(2), -1, 0).astype(np.float64)
        return np.where(predicted + true == 0, 1.0, ratio(2 * found, predicted + true))

    def per_class(self) -> list[float | None]:
        """F1 of each type of entity, the mean over seeds; None for a type that does not occur."""
        found, predicted, true = np.moveaxis(self.counts.sum(1), -1, 0).astype(np.float64)  # [seeds, types]
        values = ratio(2 * found, predicted + true).mean(0)
        return [float(value) if known else None for value, known in zip(values, true.sum(0) > 0, strict=True)]

    def agreement(self, other: TaskPredictions) -> float | None:
        """The share of words that both tag alike."""
        if not isinstance(other, TagPredictions) or other.names != self.names or other.true.shape != self.true.shape:
            return None
        words = self.true >= 0
        return float((self.tags == other.tags)[:, words].mean()) if words.any() and len(self.tags) == len(other.tags) else None

    def shown(self) -> TextPredictions:
        """The entities of each sentence, such as `PER: Ada Lovelace; LOC: London`."""
        choice = np.array([[self._text(tags, row) for row, tags in enumerate(of_seed)] for of_seed in self.tags], dtype=object)
        return TextPredictions(
            choice=choice,
            text=lambda seed, row: str(choice[seed, row]),
            truth=lambda row: self._text(self.true[row], row),
        )

    def _text(self, tags: NDArray[np.int32], row: int) -> str:
        names = self.names_of(tags)
        words = self.words[row] if self.words is not None else [str(at) for at in range(len(names))]
        entities = find_entities(names, self.prefixed)
        return "; ".join(f"{kind}: {' '.join(words[start:end])}" for kind, start, end in entities) or NOTHING


def with_outside(names: Sequence[str]) -> list[str]:
    """The names of tags with `O` among them, which is what a word without a prediction has."""
    return list(names) if OUTSIDE in names else [*names, OUTSIDE]
