"""The interface of whatever yields batches, and the registry through which recipes name it."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

from limbeck.core.batch import Batch
from limbeck.core.signals import AnySignal
from limbeck.utils.registry import Registry, UnknownNameError
from limbeck.utils.seeds import mix_seeds

if TYPE_CHECKING:
    from limbeck.core.criterion import Criterion

registry = Registry("source")
MOST = 1_000_000  # items of a batch that is made; more is a slip of the pen, and takes long to be refused for its memory


def require_counts(source: str, **counts: int | None) -> None:
    """Checks arguments of a source that count something; None is not checked.

    Raises:
        ValueError: a number below 1, or a `batch_size` above `MOST`.
    """
    for name, value in counts.items():
        if value is not None and value < 1:
            raise ValueError(f"{source}: {name} is {value}; expected 1 or more")
        if value is not None and name == "batch_size" and value > MOST:
            raise ValueError(f"{source}: batch_size is {value:,}; expected at most {MOST:,}")


@dataclass(frozen=True)
class BatchPosition:
    """Identifies one piece of one global batch.

    A source computes a batch from (seed, position) alone, so the items do not depend on the number of processes, on workers,
    or on where a run was resumed.

    Attributes:
        step: step of the stage, from 0.
        seed: seed of the run.
        part: the piece wanted, from 0.
        parts: pieces of equal size that the global batch is cut into, one for each (accumulation step, process).
    """

    step: int
    seed: int = 0
    part: int = 0
    parts: int = 1

    def part_of(self, rows: Tensor) -> Tensor:
        """This part of the rows of a global batch.

        Raises:
            ValueError: rows that do not divide into equal parts.
        """
        if len(rows) % self.parts:
            raise ValueError(
                f"a batch of {len(rows)} items cannot be cut into {self.parts} equal parts (processes × accumulation steps); "
                f"make batch_size a multiple of {self.parts}"
            )
        size = len(rows) // self.parts
        return rows[self.part * size : (self.part + 1) * size]

    def random_generator(self, stream: str) -> torch.Generator:
        """A generator seeded by (seed, step, stream); it is the same for all parts of a global batch."""
        return torch.Generator().manual_seed(mix_seeds(self.seed, self.step, stream))


@dataclass(frozen=True)
class Observation:
    """What an update has read of a global batch: all its items in order, the same on every process.

    Attributes:
        index: row of each item in its data set `[batch]`, or None.
        keys: content hash of each item `[batch]`, or None.
        signals: by reference, those of `Source.observes` that the update has computed, detached.
        losses: value of each term, and their weighted sum `loss`.
        trained: the actors that the update has changed.
        progress: of the stage, 0 to 1.
        autocast: data type of the run's mixed precision; None for float32.
    """

    index: Tensor | None
    keys: Tensor | None
    signals: Mapping[str, AnySignal]
    losses: Mapping[str, Tensor]
    trained: tuple[str, ...]
    progress: float
    autocast: torch.dtype | None = None


class DataReader(Protocol):
    """Reads files for the sources of a recipe, as the recipe reads its training data."""

    def items(self, data: Any) -> Any:
        """The `limbeck.data.Items` of a data set: a path, or a mapping with the fields of `data.train` of a recipe."""

    def texts(self, data: Any) -> list[str]:
        """The texts of a data set as they are in its file, described as for `items`."""

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """The token ids of each text, by the tokenizer of the run; without a token that ends a text."""


class Source(ABC):
    """Base class of everything that yields batches.

    `batch(position)` is a pure function of the position and of the source's own state. The state changes in `observe` only, so
    a batch that is drawn to try out shapes changes nothing.

    A source takes part in a run in this order: `connect` and `load` in a recipe, `fresh` for each arm and seed, `bind` at the
    start of each stage, `load_state_dict` if the run is resumed, then `batch` and `observe` in turns, and `close`.

    Attributes:
        samples: items in the underlying data set; None if there is none.
        steps_per_epoch: steps of one pass over the data set; None if there is none.
        generator: name of the actor that turns this source's batches into inputs; None if the batches are the inputs.
        observes: references of the signals that `observe` wants; None: it is not called.
        data: what `load` reads, a path or a mapping with the fields of `data.train` of a recipe; None: nothing.
        reads_data: whether its items come from data; False: they are noise, or made by a model of noise.
    """

    samples: int | None = None
    steps_per_epoch: int | None = None
    generator: str | None = None
    observes: Sequence[str] | None = None
    data: Any = None
    reads_data: bool = True

    @property
    def actors(self) -> tuple[str, ...]:
        """Names of the actors that the source, or the run on its behalf, calls to make batches."""
        return () if self.generator is None else (self.generator,)

    @property
    def has_epochs(self) -> bool:
        """Whether the length of a stage can be given in epochs; known before any data is loaded."""
        return self.steps_per_epoch is not None

    def connect(self, sources: Mapping[str, Source]) -> None:  # noqa: B027  most sources read no other
        """Called once with the named sources of a recipe, for sources that read another one."""

    def load(self, reader: DataReader) -> None:  # noqa: B027  most sources read no file
        """Called once in a recipe before the first batch, for sources that read files."""

    def fresh(self) -> Source:
        """This source as it was before any batch: each arm and seed of an experiment starts with one of its own.

        Sources with a state override this.
        """
        return copy.copy(self)

    def bind(self, models: Mapping[str, nn.Module]) -> None:  # noqa: B027  most sources need no model
        """Called at the start of each stage with all models by name, for sources that run one of them."""

    @abstractmethod
    def batch(self, position: BatchPosition) -> Batch:
        """The batch at this position."""

    def observe(self, observation: Observation) -> None:  # noqa: B027  most sources have no state
        """Called on all processes after each update with this source, if `observes` is not None.

        Updates that share a batch, and repetitions on the same one, each call it.
        """

    def read_losses(self) -> Mapping[str, Tensor]:
        """Values of the terms by which the source has trained what it makes since the last call, for the log; mostly none."""
        return {}

    @property
    def criteria(self) -> Mapping[str, Criterion]:
        """The losses by which a bound source trains what it makes, by the actor that makes it, for the graph of terms."""
        return {}

    def close(self) -> None:  # noqa: B027  most sources run nothing in the background
        """Called when a run has ended, to end threads or processes that make batches ahead; `batch` starts them again."""

    def made(self, models: Mapping[str, nn.Module]) -> Batch | None:
        """Some of the inputs that this source has made itself, for people to look at; None: it makes none.

        Args:
            models: all models by name, as they are after the training.
        """
        return None

    def state_dict(self) -> dict[str, Any]:
        """What determines the following batches, for the checkpoint: tensors and plain values in lists and mappings."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:  # noqa: B027  most sources have no state
        """Restores what `state_dict` returned."""


def source(value: str | Mapping[str, Any] | Source) -> Source:
    """Converts a name, or the recipe form `{name: {arguments}}`, to a source.

    Raises:
        ValueError: an unknown name (the nearest are offered), or arguments that it does not have.
    """
    built: Source = registry.part(value, Source, "{generated: {actor: generator}}")
    return built


def named_sources(values: Mapping[str, Any]) -> dict[str, Source]:
    """Builds the sources of a recipe, `{name: {kind: {arguments}}}`, and connects those that read another one.

    Raises:
        ValueError: as `source`, with the name; a source that reads an unknown one, or itself.
    """
    built: dict[str, Source] = {}
    for name, value in values.items():
        try:
            built[name] = source(value)
        except ValueError as error:
            raise ValueError(f"sources.{name}: {error}") from error
    for name, each in built.items():
        try:
            each.connect(built)
        except ValueError as error:
            raise ValueError(f"sources.{name}: {error}") from error
    return built


def find_source(name: str, sources: Mapping[str, Source]) -> Source:
    """The source of this name.

    Raises:
        UnknownNameError: there is none; the nearest names are offered.
    """
    if name not in sources:
        raise UnknownNameError("source", name, list(sources))
    return sources[name]
