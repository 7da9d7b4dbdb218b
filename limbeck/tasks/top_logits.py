"""The largest logits of each item, for classifiers of so many classes that all logits would fill memory and disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

MANY_CLASSES = 256  # above which the largest logits are kept instead of all
KEPT = 16
BLOCK = 1 << 22  # logits that are read at a time
WIDTH = "top_width"
ARRAYS = ("top_values", "top_classes", "top_rest", "top_label", WIDTH)
LEAST = 1e-30  # stands for a probability of nothing, whose logarithm is finite


@dataclass(frozen=True)
class TopLogits:
    """The KEPT largest logits of each item, the label's, and what all others come to, less the largest.

    The predicted class, its probability and that of the label are those of all logits. With 10,000 classes and 50,000 items it
    has 6 MB for a model where the logits have 2 GB.

    Attributes:
        values, classes: the largest logits, largest first, and their classes, [seeds, items, k].
        rest: Σ exp of the other logits, [seeds, items].
        label: the logit of the label, [seeds, items].
        width: number of classes.
    """

    values: NDArray[np.float32]
    classes: NDArray[np.int64]
    rest: NDArray[np.float32]
    label: NDArray[np.float32]
    width: int

    @classmethod
    def of(cls, logits: Tensor, target: Tensor) -> TopLogits:
        """The largest of `logits` [items, classes] of one model, with `target` [items].

        Raises:
            ValueError: logits that are not finite.
        """
        items, width = logits.shape
        kept, rows = min(KEPT, width), _rows(width)
        top = cls(
            np.empty((1, items, kept), np.float32), np.empty((1, items, kept), np.int64),
            np.empty((1, items), np.float32), np.empty((1, items), np.float32), width,
        )  # fmt: skip
        for start in range(0, items, rows):
            block = slice(start, start + rows)
            top._fill(block, logits[block], target[block])
        return top

    def _fill(self, block: slice, logits: Tensor, target: Tensor) -> None:
        """Of equal logits the first class is predicted, as by `argmax`."""
        largest, first = logits.max(-1, keepdim=True)
        if not bool(largest.isfinite().all() and logits.amin(-1).isfinite().all()):
            raise ValueError("logits hold NaN or infinity; the training diverged")
        classes = logits.topk(self.values.shape[-1]).indices
        tied = classes[:, 0] != first[:, 0]
        if bool(tied.any()):
            others = logits[tied].scatter(-1, first[tied], -torch.inf).topk(classes.shape[1] - 1).indices
            classes[tied] = torch.cat([first[tied], others], -1)
        shifted = logits - largest
        self.classes[0, block], self.values[0, block] = classes, shifted.gather(-1, classes)
        self.label[0, block] = shifted.gather(-1, target[:, None].clamp(min=0))[:, 0]
        self.rest[0, block] = shifted.exp_().scatter_(-1, classes, 0).sum(-1)

    @classmethod
    def stack(cls, of_seeds: Sequence[TopLogits]) -> TopLogits:
        """Several models on the same items, as seeds."""
        parts = {field.name: [getattr(each, field.name) for each in of_seeds] for field in fields(cls) if field.name != "width"}
        return cls(**{name: np.concatenate(arrays) for name, arrays in parts.items()}, width=of_seeds[0].width)

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """What is saved, by the names in ARRAYS."""
        parts = (half(self.values), self.classes.astype(np.int32), self.rest, half(self.label), np.array([self.width]))
        return dict(zip(ARRAYS, parts, strict=True))

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> TopLogits:
        """What `arrays` gave."""
        values, classes, rest, label, width = (arrays[name] for name in ARRAYS)
        return cls(values.astype(np.float32), classes.astype(np.int64), rest, label.astype(np.float32), int(width[0]))

    @property
    def choice(self) -> NDArray[np.int64]:
        """The predicted classes, [seeds, items]."""
        return self.classes[..., 0]

    @property
    def confidence(self) -> NDArray[np.float64]:
        """The probabilities of the predicted classes, [seeds, items]."""
        return np.asarray(1 / (np.exp(self.values.astype(np.float64)).sum(-1) + self.rest))

    def dense(self, labels: NDArray[np.int64]) -> Iterator[NDArray[np.float32]]:
        """All logits in blocks of items, [seeds, items of the block, classes]. Those that were not kept are equal, and have the
        probability that they had together."""
        rows = _rows(self.width * len(self.values))
        for start in range(0, self.rest.shape[1], rows):
            block = slice(start, start + rows)
            yield self._block(block, np.broadcast_to(labels[None, block, None], (*self.rest[:, block].shape, 1)))

    def _block(self, block: slice, labels: NDArray[np.int64]) -> NDArray[np.float32]:
        values, classes, label = self.values[:, block], self.classes[:, block], self.label[:, block, None]
        outside = ~(classes == labels).any(-1, keepdims=True)
        others = self.width - values.shape[-1] - outside
        rest = (self.rest[:, block, None] - np.exp(label) * outside) / np.maximum(others, 1)
        logits = np.repeat(np.log(np.maximum(rest, LEAST)), self.width, axis=-1)
        np.put_along_axis(logits, labels, label, -1)
        np.put_along_axis(logits, classes, values, -1)
        return np.asarray(logits, np.float32)


def half(logits: NDArray[np.float32]) -> NDArray[np.float16]:
    """Logits less the largest of their item in float16, which changes no probability by more than 0.0002."""
    return np.maximum(logits, np.finfo(np.float16).min).astype(np.float16)


def _rows(width: int) -> int:
    return max(1, BLOCK // width)
