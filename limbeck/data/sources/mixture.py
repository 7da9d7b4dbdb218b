"""`Mixture`: batches of several sources as one, which know the domain of each item."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.core.batch import Batch, select_rows
from limbeck.core.criterion import Criterion
from limbeck.core.source import BatchPosition, DataReader, Observation, Source, find_source, registry, source
from limbeck.data.sources.item_memory import columns_of, concatenate

DOMAIN = "domain"


@registry.register("mixture")
class Mixture(Source):
    """The items of several sources in one batch, in turns; `Batch.extras["domain"]` is the number of each one's source.

    A batch holds a batch of each source, so their batch sizes are the proportions. The weigher `domain` sends each item to the
    teacher of its domain. Labels and rows take part if all sources have them; rows are numbered through. An epoch is one of the
    source that has most steps.

    Args:
        of: the sources. In a recipe the names of some of `sources:`, or sources with their arguments.

    Raises:
        ValueError: fewer than two sources; a source with a generator of its own; items of different shapes.
    """

    def __init__(self, of: Sequence[str | Mapping[str, Any] | Source] = ()) -> None:
        if isinstance(of, str) or len(of) < 2:
            raise ValueError(
                f"mixture: of is {of!r}; name at least two sources, such as {{mixture: {{of: [digits, clothes]}}}}"
            )
        self.of: list[str | Source] = [one if isinstance(one, str) else source(one) for one in of]
        self._owned = [not isinstance(one, str | Source) for one in of]  # nobody else loads these

    @property
    def parts(self) -> list[Source]:
        """The sources."""
        unknown = [one for one in self.of if isinstance(one, str)]
        if unknown:
            raise ValueError(f"mixture: of names {', '.join(unknown)} of a recipe; in Python pass the sources themselves")
        return [one for one in self.of if isinstance(one, Source)]

    @property
    def actors(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for part in self.parts for name in part.actors))

    @property
    def has_epochs(self) -> bool:
        return any(part.has_epochs for part in self.parts)

    @property
    def samples(self) -> int | None:  # type: ignore[override]
        counts = [part.samples for part in self.parts]
        return None if None in counts else sum(count for count in counts if count is not None)

    @property
    def steps_per_epoch(self) -> int | None:  # type: ignore[override]
        return max((part.steps_per_epoch for part in self.parts if part.steps_per_epoch is not None), default=None)

    @property
    def reads_data(self) -> bool:  # type: ignore[override]
        return any(part.reads_data for part in self.parts)

    def connect(self, sources: Mapping[str, Source]) -> None:
        """Finds the sources that `of` names.

        Raises:
            ValueError: there is none of a name, or it is this one.
        """
        for number, one in enumerate(self.of):
            if isinstance(one, str):
                found = find_source(one, sources)
                if found is self:
                    raise ValueError(f"mixture: of names {one!r}, which is this mixture; name other sources")
                self.of[number] = found
            else:
                one.connect(sources)

    def load(self, reader: DataReader) -> None:
        for part, owned in zip(self.parts, self._owned, strict=True):
            if owned:
                part.load(reader)

    def fresh(self) -> Source:
        again = Mixture([one if isinstance(one, str) else one.fresh() for one in self.of])
        again._owned = self._owned
        return again

    def bind(self, models: Mapping[str, nn.Module]) -> None:
        for part in self.parts:
            part.bind(models)
            if part.generator is not None:
                raise ValueError(
                    f"mixture: {type(part).__name__} reads inputs that {part.generator!r} makes in a step; keep them in a pool"
                )
        found = [name for part in self.parts for name in part.observes or ()]
        self.observes = tuple(dict.fromkeys(found)) if any(part.observes is not None for part in self.parts) else None

    def batch(self, position: BatchPosition) -> Batch:
        batches = [part.batch(position) for part in self.parts]
        named = [replace(one, extras={**one.extras, DOMAIN: _filled(one, k)}) for k, one in enumerate(self._aligned(batches))]
        whole = named[0]
        for other in named[1:]:
            whole = concatenate(whole, other)
        order = torch.cat([torch.arange(one.size) * len(batches) + k for k, one in enumerate(batches)]).argsort()
        return Batch(**{name: select_rows(column, order) for name, column in columns_of(whole).items()})

    def made(self, models: Mapping[str, nn.Module]) -> Batch | None:
        return next((found for part in self.parts if (found := part.made(models)) is not None), None)

    def read_losses(self) -> Mapping[str, Tensor]:
        return {name: value for part in self.parts for name, value in part.read_losses().items()}

    @property
    def criteria(self) -> Mapping[str, Criterion]:
        return {maker: criterion for part in self.parts for maker, criterion in part.criteria.items()}

    def close(self) -> None:
        for part in self.parts:
            part.close()

    def _aligned(self, batches: Sequence[Batch]) -> Iterator[Batch]:
        """The batches without what not all of them have; rows of items are numbered through."""
        common = set.intersection(*(set(columns_of(batch)) for batch in batches))
        offset = 0
        for batch, part in zip(batches, self.parts, strict=True):
            columns = {name: column for name, column in columns_of(batch).items() if name in common}
            if self.samples is None:
                columns.pop("index", None)
            elif "index" in columns:
                columns["index"] = columns["index"] + offset
                offset += part.samples or 0
            yield Batch(**columns)

    def observe(self, observation: Observation) -> None:
        for part in self.parts:
            if part.observes is not None:
                part.observe(observation)

    def state_dict(self) -> dict[str, Any]:
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for part, own in zip(self.parts, state["parts"], strict=True):
            part.load_state_dict(own)


def _filled(batch: Batch, number: int) -> Tensor:
    return torch.full((batch.size,), number, device=batch.device)
