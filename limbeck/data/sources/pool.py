"""`Pool`: batches that are partly new and partly drawn from a memory of earlier ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.core.batch import DEFAULT_VIEW, Batch, first_items, select_rows
from limbeck.core.criterion import Criterion
from limbeck.core.model_io import call_model, preserve_modes
from limbeck.core.source import BatchPosition, DataReader, Observation, Source, find_source, registry, require_counts, source
from limbeck.data.sources.item_memory import KEEP, ItemMemory, columns_of, concatenate
from limbeck.utils.seeds import mix_seeds


@registry.register("pool")
class Pool(Source):
    """A bounded memory of another source's items: a replay buffer, or a bank of generated images.

    A batch holds `fresh_share` new items and otherwise items drawn from the memory, without repetition. While the memory holds
    too few, new items take their place. After the update the new items are put into the memory, which is part of the
    checkpoint.

    Inputs of a generator are made when the batch is drawn, in evaluation mode and without gradient. In a step that trains the
    generator first, these are inputs of the generator after its update:

        noise = Generated("generator", batch_size=64)
        Stage([Update(adversarial, trains="generator", source=noise), Update(imitation, source=Pool(noise))], steps(1000))

    Every process makes the whole batch and reads its part, so the memories of all processes agree.

    Args:
        of: the source whose items are kept. In a recipe the name of one of `sources:`, or one with its arguments.
        size: the most items in the memory.
        keep: `newest`, or `random`: a uniform sample of all items there ever were.
        batch_size: items in a batch. Default: as many as in a batch of `of`.
        fresh_share: share of new items in a batch, at least one.

    Raises:
        ValueError: no source; an argument out of range; an unknown way to keep.
    """

    def __init__(
        self,
        of: str | Mapping[str, Any] | Source | None = None,
        *,
        size: int = 4096,
        keep: str = "newest",
        batch_size: int | None = None,
        fresh_share: float = 0.5,
    ) -> None:
        if not of:
            raise ValueError(f"pool: of is {of!r}; name the source whose items it keeps, such as {{pool: {{of: noise}}}}")
        require_counts("pool", size=size, batch_size=batch_size)
        if not 0 < fresh_share <= 1:
            raise ValueError(f"pool: fresh_share is {fresh_share}; expected a share above 0, at most 1 (only new items)")
        if keep not in KEEP:
            raise ValueError(f"pool: keep is {keep!r}; expected {' or '.join(KEEP)}")
        self.of: str | Source = of if isinstance(of, str) else source(of)
        self.size, self.keep, self.batch_size, self.fresh_share = size, keep, batch_size, fresh_share
        self.memory = ItemMemory(size, keep)
        self.observes: tuple[str, ...] = ()
        self._owns = not isinstance(of, str | Source)  # nobody else loads it
        self._generator: nn.Module | None = None
        self._drawn: _DrawnPool | None = None

    @property
    def origin(self) -> Source:
        """The source whose items are kept."""
        if isinstance(self.of, str):
            raise ValueError(f"pool: of is {self.of!r}, the name of a source of a recipe; in Python pass the source itself")
        return self.of

    @property
    def reads_data(self) -> bool:  # type: ignore[override]
        return self.origin.reads_data

    @property
    def actors(self) -> tuple[str, ...]:
        return self.origin.actors

    @property
    def has_epochs(self) -> bool:
        return self.origin.has_epochs

    @property
    def samples(self) -> int | None:  # type: ignore[override]
        return self.origin.samples

    @property
    def steps_per_epoch(self) -> int | None:  # type: ignore[override]
        return self.origin.steps_per_epoch

    def connect(self, sources: Mapping[str, Source]) -> None:
        """Finds the source that `of` names.

        Raises:
            ValueError: there is none of this name, or pools keep each other's items.
        """
        if not isinstance(self.of, str):
            self.of.connect(sources)
            return
        name, origin = self.of, find_source(self.of, sources)
        path: list[Source] = [self]
        while isinstance(origin, Pool):
            if origin in path:
                raise ValueError(f"pool: of is {name!r}, which keeps items of this pool; name a source that makes new ones")
            path.append(origin)
            origin = find_source(origin.of, sources) if isinstance(origin.of, str) else origin.of
        self.of = sources[name]

    def load(self, reader: DataReader) -> None:
        if self._owns:
            self.origin.load(reader)

    def fresh(self) -> Source:
        origin = self.of if isinstance(self.of, str) else self.of.fresh()
        options = {"size": self.size, "keep": self.keep, "batch_size": self.batch_size, "fresh_share": self.fresh_share}
        again = Pool(origin, **options)  # type: ignore[arg-type]
        again._owns = self._owns
        return again

    def bind(self, models: Mapping[str, nn.Module]) -> None:
        origin = self.origin
        origin.bind(models)
        self.observes = tuple(origin.observes or ())
        self._generator = None if origin.generator is None else models[origin.generator]

    def batch(self, position: BatchPosition) -> Batch:
        if self._drawn is None or not self._drawn.holds(position):
            self._drawn = self._draw(position)
        self._drawn.part = position.part
        rows = position.part_of(torch.arange(self._drawn.batch.size))
        columns = columns_of(self._drawn.batch)
        return Batch(**{name: select_rows(column, rows) for name, column in columns.items()})

    def made(self, models: Mapping[str, nn.Module]) -> Batch | None:
        return self.origin.made(models)

    def close(self) -> None:
        self.origin.close()

    def read_losses(self) -> Mapping[str, Tensor]:
        return self.origin.read_losses()

    @property
    def criteria(self) -> Mapping[str, Criterion]:
        return self.origin.criteria

    def observe(self, observation: Observation) -> None:
        if self.origin.observes is not None:
            self.origin.observe(observation)
        if self._drawn is not None:
            self.memory.add(self._drawn.new, self._drawn.position.random_generator("pool places"))
            self._drawn = None  # a further update on the same batch adds nothing

    def state_dict(self) -> dict[str, Any]:
        return {"memory": self.memory.state_dict(), "of": self.origin.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.memory.load_state_dict(state["memory"])
        self.origin.load_state_dict(state["of"])
        self._drawn = None

    def _draw(self, position: BatchPosition) -> _DrawnPool:
        """The whole global batch: new items, then items of the memory."""
        whole = replace(position, part=0, parts=1)
        first = self.origin.batch(whole)
        size = self.batch_size or first.size
        old = min(size - max(1, round(self.fresh_share * size)), len(self.memory))
        new = self._generate(self._fill(first, size - old, whole))
        if not old:
            return _DrawnPool(position, new, new)
        rows = torch.randperm(len(self.memory), generator=position.random_generator("pool"))[:old]
        return _DrawnPool(position, concatenate(new, self.memory.rows(rows)), new)

    def _fill(self, batch: Batch, count: int, position: BatchPosition) -> Batch:
        """So many items of the source; further batches are drawn at the same step with seeds of their own."""
        number = 0
        while batch.size < count:
            number += 1
            seed = mix_seeds(position.seed, "pool", number)
            batch = concatenate(batch, self.origin.batch(replace(position, seed=seed)))
        return first_items(batch, count)

    @torch.no_grad()
    def _generate(self, batch: Batch) -> Batch:
        """The batch with what the generator makes of its inputs, if the source has one."""
        if self.origin.generator is None:
            return batch
        if self._generator is None:
            raise ValueError("pool: batches can be made within a run only, which binds the generator")
        device = next(self._generator.parameters()).device
        batch = batch.to(device)
        with preserve_modes(self._generator):
            made: Tensor = call_model(self._generator.eval(), batch.inputs[DEFAULT_VIEW])
        return replace(batch, inputs={DEFAULT_VIEW: made})


class _DrawnPool:
    """The global batch at a position, until its new items are in the memory.

    Attributes:
        part: the last part that was read.
    """

    def __init__(self, position: BatchPosition, batch: Batch, new: Batch) -> None:
        self.position, self.batch, self.new = position, batch, new
        self.part = position.part

    def holds(self, position: BatchPosition) -> bool:
        """Whether a position is a later part of this batch; a part that is read again is drawn again, from the models as they
        are then."""
        return replace(position, part=self.position.part) == self.position and position.part > self.part
