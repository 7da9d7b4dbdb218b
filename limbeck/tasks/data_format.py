"""Data sets of a task's own format."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from limbeck.data import Items

LABELS_REMEDY = "name the column that holds them (label: …)"


@dataclass(frozen=True)
class TextSource:
    """A data set of texts and how they become tokens.

    Attributes:
        path, split: of the data set.
        limit: use only the first units, this many.
        tokenizers: one for all models, or those of student and teacher by name.
        max_length: the most tokens of an item.
        stride: the tokens that a window of a long text shares with the next.
        input, label: the columns, if they are named; a label of False: there is none.
    """

    path: str
    split: str | None
    limit: int | None
    tokenizers: Any
    max_length: int
    stride: int
    input: str | list[str] | None = None
    label: str | list[str] | Literal[False] | None = None


class DataFormat(ABC):
    """Reads data sets that are not one input and one label a row, such as questions with a context and answers.

    Attributes:
        augmentation_problem: why texts of this format are not augmented word by word.
        labels_remedy: what to do where data have no labels.
        reads_unlabelled: whether data without labels (`label: false`) is of this format too; otherwise it is plain texts.
    """

    augmentation_problem: ClassVar[str] = "it changes single texts, and the task reads data of its own format"
    labels_remedy: ClassVar[str] = LABELS_REMEDY
    reads_unlabelled: ClassVar[bool] = False

    @abstractmethod
    def load(self, source: TextSource) -> Items:
        """Loads the items, texts as tokens."""

    @abstractmethod
    def texts(self, path: str, split: str | None) -> Iterator[str]:
        """The texts of a data set, from which a vocabulary can be made."""

    def split(self, items: Items, share: float) -> tuple[Items, Items]:
        """Two parts, the first with this share of the items."""
        return items.split(share)


def labels_remedy(data_format: DataFormat | None) -> str:
    """What to do where data have no labels.

    Args:
        data_format: of the task; None: it has none of its own.
    """
    return LABELS_REMEDY if data_format is None else data_format.labels_remedy
