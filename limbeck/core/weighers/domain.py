"""Items go to the teacher of their domain."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from limbeck.core.batch import DEFAULT_VIEW, Batch
from limbeck.core.signals import AnySignal
from limbeck.core.weighers.base import Weigher, registry


@registry.register("domain")
class Domain(Weigher):
    """1 for the teacher of an item's domain and 0 for all others, `[K, batch]`.

    The domain of an item is a number: of its source, in batches of the source `mixture`, or a field of the items
    (`fields: {domain: array}`, or a mapping of tensors in Python). No other teacher knows the domain, so that an item on which
    its teacher gives NaN or infinity is refused.

    Args:
        field: the name of the numbers, in `Batch.extras` or among the fields of the inputs.
        routes: number of the teacher (from 0, in the order of the ensemble) of each domain; None: domain k has teacher k.

    Raises:
        ValueError: items without the field; an item of a domain that no teacher is named for; a route to no teacher.
    """

    exclusive = True

    def __init__(self, *, field: str = "domain", routes: Sequence[int] | None = None) -> None:
        super().__init__()
        if routes is not None and (not routes or min(routes) < 0):
            raise ValueError(f"domain: routes is {list(routes)}; expected the number of a teacher, from 0, for each domain")
        self.fields = (field,)
        self.field, self.routes = field, None if routes is None else tuple(routes)

    def check(self, example: Batch, teachers: int) -> None:
        self._chosen(example, teachers)

    def weigh(self, signals: Sequence[AnySignal], batch: Batch, student: AnySignal, progress: float) -> Tensor:
        return F.one_hot(self._chosen(batch, len(signals)), len(signals)).T.to(torch.float32)

    def _chosen(self, batch: Batch, teachers: int) -> Tensor:
        """The number of each item's teacher, int64 `[batch]`."""
        routes = self.routes if self.routes is not None else tuple(range(teachers))
        if max(routes, default=0) >= teachers:
            raise ValueError(f"domain: routes name teacher {max(routes)}, and there are {teachers} (0 to {teachers - 1})")
        domain = self._domains(batch)
        unknown = (domain < 0) | (domain >= len(routes))
        if bool(unknown.any()):
            found = int(domain[unknown][0])
            count = int((domain == found).sum())
            raise ValueError(
                f"domain: {count:,} of {len(domain):,} items {'is' if count == 1 else 'are'} of domain {found}, and there are "
                f"teachers for domains 0 to {len(routes) - 1}; add a teacher for domain {found}, name one in routes, or leave "
                "such items out"
            )
        return torch.tensor(routes, device=domain.device)[domain]

    def _domains(self, batch: Batch) -> Tensor:
        """The domain of each item, int64 `[batch]`."""
        inputs = batch.inputs.get(DEFAULT_VIEW)
        places = [batch.extras, inputs if isinstance(inputs, dict) else {}]
        for place in places:
            if self.field in place:
                found: Tensor = place[self.field]
                if found.numel() != len(found):
                    raise ValueError(
                        f"domain: {self.field!r} is of shape {tuple(found.shape)}; expected one number for each item"
                    )
                return found.flatten().round().long()
        known = sorted({name for place in places for name in place})
        raise ValueError(
            f"domain: items have no field {self.field!r} (they have: {', '.join(known) or 'none'}); use the source mixture, or "
            "load the number of the domain as a field of the items"
        )
