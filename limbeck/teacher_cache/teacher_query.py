"""A teacher and what a run needs of it: inputs, views and taps; and the identity of its outputs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor

from limbeck.core.actors import Actor, Actors, actor_inputs
from limbeck.core.batch import DEFAULT_VIEW, Batch
from limbeck.core.forward_cache import ForwardCache
from limbeck.core.gradient_plan import GradientPlan
from limbeck.core.model_io import LOGITS
from limbeck.core.probe_set import ProbeSet
from limbeck.core.references import Reference
from limbeck.core.signals import AnySignal
from limbeck.data import Dataset, Items
from limbeck.data.content_keys import fingerprint
from limbeck.data.fields.views import ViewSpec
from limbeck.data.repeated_views import distinct_views
from limbeck.teacher_cache.padding import Padding

EXAMPLE_ITEMS = 4


@dataclass
class TeacherQuery:
    """A teacher, its inputs, and the taps whose outputs a run needs.

    Attributes:
        actor: the frozen teacher, with its precision and memory layout.
        source: the training data in its views, with `view_count` and `view_seed` set.
        taps: where outputs and activations are read.
        views: the augmentation, as the recipe writes it.
        autocast: data type of the run's mixed precision, or None.
        sparse: whether all terms on the logits can read `TopK`.
        device: where the teacher runs.
        epochs: the most epochs that the run shows; with views that are replaced, the number of views depends on it.
    """

    actor: Actor
    source: Dataset
    taps: Sequence[str]
    views: ViewSpec
    autocast: torch.dtype | None = None
    sparse: bool = False
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    epochs: int = 1

    def __post_init__(self) -> None:
        self._probes = ProbeSet(Actors({"teacher": replace(self.actor, cache=None)}))
        self._references = {tap: Reference("teacher", tap=tap) for tap in self.taps}
        self._probes.add(self._references.values())

    @torch.no_grad()
    def run(self, batch: Batch) -> dict[str, AnySignal]:
        """Runs the teacher on a batch and returns its signals by tap; signals of tokens come without padding."""
        forward_cache = ForwardCache(self._probes, batch.to(self.device), GradientPlan(frozenset()), autocast=self.autocast)
        outputs: dict[str, AnySignal] = {tap: forward_cache[reference] for tap, reference in self._references.items()}
        padding = Padding.from_inputs(actor_inputs(self.actor, "teacher", forward_cache.inputs(DEFAULT_VIEW)))
        return outputs if padding is None else {tap: padding.pack(tap, signal) for tap, signal in outputs.items()}

    @cached_property
    def example_outputs(self) -> dict[str, AnySignal]:
        """The signals of the first items by tap: they give the shapes and the size of a row."""
        rows = torch.arange(min(EXAMPLE_ITEMS, len(self.items)))
        return self.run(self.source.batch_of_views(rows, torch.zeros_like(rows)))

    @property
    def one_view(self) -> bool:
        """Whether the views leave what the teacher reads as it is, so that all views of an item have the same outputs."""
        return not self.source.changes(self.actor.reads)

    @property
    def view_count(self) -> int:
        """The number of views of each item in which the teacher's outputs may be needed."""
        if self.one_view:
            return 1
        return distinct_views(self.epochs, self.source.view_count or 1, self.source.view_refresh)

    def close(self) -> None:
        """Remove the hooks from the teacher."""
        self._probes.close()

    @property
    def items(self) -> Items:
        """The items of the source."""
        return self.source.items

    def describe_item(self, key: int) -> str:
        """Returns the key with its row among the training items, for messages."""
        rows = (self.items.keys == key).nonzero()[:, 0].tolist()
        return f"{key} (row {rows[0]} of the training items)" if rows else str(key)

    @cached_property
    def identity(self) -> dict[str, str | int]:
        """What the outputs depend on, apart from the tap. A store with another identity is refused."""
        model = self.actor.model
        precision = self.actor.precision or self.autocast or torch.float32
        pipeline = self.source.views[DEFAULT_VIEW]
        views: ViewSpec = () if self.one_view else self.views
        identity: dict[str, str | int] = {
            "teacher": f"{type(model).__name__} {fingerprint({**model.state_dict(), **dict(model.named_buffers())})}",
            "precision": str(precision).removeprefix("torch."),
            "views": json.dumps(views if isinstance(views, Mapping) else list(views), sort_keys=True),
            "view_seed": self.source.view_seed or 0,
            "inputs": _input_kind(self.items),
        }
        if self.actor.output != LOGITS:
            identity["output"] = self.actor.output
        if pipeline.mixes:  # the partner of an item may be any other item of the data set
            identity["data"] = self.items.fingerprint()
        return identity


def _input_kind(items: Items) -> str:
    """The shape or type of an input; for texts the identity of their tokenizer."""
    tokens = getattr(items.storage, "identity", None)
    if tokens is not None:
        return str(tokens())
    first = items.fetch(torch.tensor([0]))
    return str(list(first.shape[1:])) if isinstance(first, Tensor) else type(first).__name__
