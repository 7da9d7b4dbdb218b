"""The teacher is paid once: what of its answers is kept, where, under which identity, and how it gets there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

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
from limbeck.teacher_cache import (
    Builder,
    Codec,
    Dense,
    Journal,
    Reader,
    ScaledInt8,
    Store,
    StoreError,
    Task,
    Tokens,
    TokenSignals,
    TopKCodec,
    read_manifest,
    rows_by_size,
)
from limbeck.teacher_cache.cached_teacher import StoredAnswers
from limbeck.teacher_cache.manifest import NAME as MANIFEST
from limbeck.teacher_cache.padding import Padding
from limbeck.utils import distributed
from limbeck.utils.folder_lock import FolderInUseError

AUTO = "auto"
VIEWS = 8  # of each augmented item, where the recipe does not say
DENSE_CLASSES = 128  # logits of more classes are kept as their k largest probabilities, where the terms can read these
Told = Callable[[int, int], None]
"""Called as work goes on: how much is done, of how much."""


@dataclass(frozen=True)
class Keeping:
    """How a teacher's answers are kept.

    Attributes:
        path: a folder; "auto": one beside the run, named by what made the answers, which other runs and seeds find again.
        views: augmented views of each item; None: 8, or 1 where nothing is augmented. An epoch shows each item one of them.
        logits: "auto", "fp16", "bf16", "fp32", or `{"k": 16}` with the options of `TopKCodec`.
        features: of all other taps: "fp16", "bf16", "fp32" or "int8" (with a scale for each channel and item).
        strict: never ask the teacher; an answer that is not there is an error.
        view_seed: what the views are keyed by, for all runs that share the answers.
    """

    path: str | Path = AUTO
    views: int | None = None
    logits: str | Mapping[str, Any] = AUTO
    features: Literal["fp16", "bf16", "fp32", "int8"] = "fp16"
    strict: bool = False
    view_seed: int = 0

    def view_count(self, views: Sequence[Any]) -> int:
        """How many views there are of each item, augmented by `views`."""
        return self.views if self.views is not None else (VIEWS if views else 1)


@dataclass
class Asked:
    """A teacher, and what a run wants to know of it.

    Attributes:
        actor: the frozen model, with its precision and memory layout.
        source: the training data in its views, with `view_count` and `view_seed` set.
        taps: where it is heard.
        views: the augmentation, as the recipe writes it.
        autocast: data type of the run's mixed precision, or None.
        sparse: whether all terms on the logits can read `TopK`.
        device: where the model lies.
    """

    actor: Actor
    source: Dataset
    taps: Sequence[str]
    views: Sequence[Any]
    autocast: torch.dtype | None = None
    sparse: bool = False
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def __post_init__(self) -> None:
        self._probes = ProbeSet(Actors({"teacher": replace(self.actor, cache=None)}))
        self._references = {tap: Reference("teacher", tap=tap) for tap in self.taps}
        self._probes.add(self._references.values())

    @torch.no_grad()
    def answer(self, batch: Batch) -> dict[str, AnySignal]:
        """What the teacher says about a batch, by tap; signals of tokens come without padding."""
        forward_cache = ForwardCache(self._probes, batch.to(self.device), GradientPlan(frozenset()), autocast=self.autocast)
        said: dict[str, AnySignal] = {tap: forward_cache[reference] for tap, reference in self._references.items()}
        padding = Padding.of(actor_inputs(self.actor, "teacher", forward_cache.inputs(DEFAULT_VIEW)))
        return said if padding is None else {tap: padding.pack(tap, signal) for tap, signal in said.items()}

    @cached_property
    def example(self) -> dict[str, AnySignal]:
        """What it says about the first items: the shapes of the answers, and the size of a row."""
        rows = torch.arange(min(4, len(self.items)))
        return self.answer(self.source.batch_of_views(rows, torch.zeros_like(rows)))

    def close(self) -> None:
        self._probes.close()

    @property
    def items(self) -> Items:
        return self.source.items

    def name_of(self, key: int) -> str:
        """How a user finds the item with this key."""
        rows = (self.items.keys == key).nonzero()[:, 0].tolist()
        return f"{key} (row {rows[0]} of the training items)" if rows else str(key)

    @cached_property
    def identity(self) -> dict[str, str | int]:
        """What the answers depend on, beside the tap: a store of anything else is refused."""
        model = self.actor.model
        precision = self.actor.precision or self.autocast or torch.float32
        pipeline = self.source.views["default"]
        identity: dict[str, str | int] = {
            "teacher": f"{type(model).__name__} {fingerprint({**model.state_dict(), **dict(model.named_buffers())})}",
            "precision": str(precision).removeprefix("torch."),
            "views": json.dumps(list(self.views), sort_keys=True),
            "view_seed": self.source.view_seed or 0,
            "inputs": _shape(self.items),
        }
        if pipeline.mixes:  # partners come from anywhere in the data set
            identity["data"] = self.items.fingerprint()
        return identity


def ask_codecs(asked: Asked, keeping: Keeping) -> dict[str, Codec]:
    """How each tap is kept, from a first answer."""
    return {tap: _codec(tap, signal, keeping, asked.sparse) for tap, signal in asked.example.items()}


def _codec(tap: str, signal: AnySignal, keeping: Keeping, sparse: bool) -> Codec:
    if isinstance(signal, TokenSignals):
        return Tokens(_codec(tap, signal.signal, keeping, sparse))
    if tap != LOGITS:
        return ScaledInt8() if keeping.features == "int8" else Dense(keeping.features)
    classes = signal.shape[-1] if isinstance(signal, Tensor) else 0
    if isinstance(keeping.logits, Mapping):
        if not sparse:
            raise ValueError(
                f"store.logits: {dict(keeping.logits)} keeps the largest probabilities only, and a term of this run needs all "
                "logits; use fp16, or terms that read them (soft_targets and the like)"
            )
        return TopKCodec(**{"classes": classes, **keeping.logits})
    if keeping.logits == AUTO:
        return TopKCodec(min(16, classes), classes) if sparse and classes > DENSE_CLASSES else Dense("fp16")
    if keeping.logits not in ("fp16", "bf16", "fp32"):
        raise ValueError(f"store.logits is {keeping.logits!r}; expected auto, fp16, bf16, fp32, or {{k: 16}}")
    return Dense(keeping.logits)  # type: ignore[arg-type]


def folder_of(asked: Asked, keeping: Keeping, beside: Path | None, codecs: Mapping[str, Codec]) -> Path:
    """Where the answers are: the recipe's folder, or for "auto" one that their identity names."""
    if keeping.path != AUTO:
        return Path(keeping.path)
    if beside is None:
        raise ValueError("cache: auto keeps answers beside the run, which has no folder; give the run one, or the store a path")
    kept = {"identity": asked.identity, "views": asked.source.view_count, "codecs": {t: str(c) for t, c in codecs.items()}}
    return beside / "store" / hashlib.blake2b(json.dumps(kept, sort_keys=True).encode(), digest_size=6).hexdigest()


def tap_folder(folder: Path, tap: str) -> Path:
    """Each tap has a store of its own, so that runs which listen elsewhere share what they have in common."""
    return folder / quote(tap, safe="()")


@contextmanager
def open_answers(asked: Asked, keeping: Keeping, folder: Path, codecs: Mapping[str, Codec]) -> Iterator[StoredAnswers]:
    """The answers in `folder`, for one training. What is missing is asked for and kept as training goes on; a store that
    another process is writing is read as it is.

    Raises:
        StoreError: the folder holds the answers of another teacher, to other views or data; every difference is named.
    """
    readers: dict[str, Reader] = {}
    rows = _rows_per_shard(asked, codecs)
    with ExitStack() as stack:
        for tap, codec in codecs.items():
            readers[tap] = _reader(tap_folder(folder, tap), asked, {tap: codec}, rows, stack, strict=keeping.strict)
        yield StoredAnswers(readers, strict=keeping.strict)
        _finish({tap: reader for tap, reader in readers.items() if isinstance(reader, Journal)}, asked)


def _reader(
    place: Path, asked: Asked, codec: Mapping[str, Codec], rows_per_shard: int, stack: ExitStack, *, strict: bool
) -> Reader:
    whole = Store.open(place, expect=asked.identity, codecs=codec) if (place / MANIFEST).exists() else None
    views = asked.source.view_count or 1
    if whole is not None and (strict or bool(whole.has(asked.items.keys, views - 1).all() and whole.complete)):
        return whole
    try:
        journal = Journal(
            place, asked.items.keys, views, codec, asked.identity, rows_per_shard=rows_per_shard, describe=asked.name_of
        )
        return stack.enter_context(journal)
    except FolderInUseError:
        if whole is None:
            raise
        return whole


def build(asked: Asked, folder: Path, codecs: Mapping[str, Codec], told: Told, batch_size: int = 256) -> None:
    """Ask the teacher about every item in every view and keep the answers. Goes on where an earlier build was stopped; of
    several ranks each does its share."""
    keys, views, per_shard = asked.items.keys, asked.source.view_count or 1, _rows_per_shard(asked, codecs)
    rows = _rows_by_key(asked.items)
    with ExitStack() as stack:
        builders = {}
        for tap, codec in codecs.items():
            place = tap_folder(folder, tap)
            builder = Builder(
                place, keys, views, {tap: codec}, asked.identity, rows_per_shard=per_shard, describe=asked.name_of
            )
            builders[tap] = stack.enter_context(builder)
        lacking = _lacking(builders)
        done, total = 0, sum(len(next(iter(tasks.values())).keys) for tasks in lacking)
        for tasks in lacking:
            first = next(iter(tasks.values()))
            for some in torch.split(first.keys, batch_size):
                said = asked.answer(asked.source.batch_of_views(rows(some), torch.full_like(some, first.view)))
                for tap, task in tasks.items():
                    builders[tap].write(task, {tap: said[tap]})
                done += len(some)
                told(done, total)


def _rows_per_shard(asked: Asked, codecs: Mapping[str, Codec]) -> int:
    """As many for every tap, so that taps which lack the same shard are asked about it together."""
    return min(rows_by_size({tap: codec}, asked.example) for tap, codec in codecs.items())


def _lacking(builders: Mapping[str, Builder]) -> list[dict[str, Task]]:
    """The shards that are to be made, by tap; those of the same samples in the same view are one piece of work."""
    together: dict[tuple[int, str], dict[str, Task]] = {}
    for tap, builder in builders.items():
        for task in builder.missing():
            together.setdefault((task.view, fingerprint({"keys": task.keys})), {})[tap] = task
    return list(together.values())


def _finish(journals: Mapping[str, Journal], asked: Asked) -> None:
    """Turn journals into shards; the few answers that no epoch asked for (the ends of epochs are left out) are asked now."""
    if not journals:
        return
    for journal in journals.values():
        journal.flush()
    if distributed.world_size() > 1:
        torch.distributed.barrier()
        for journal in journals.values():
            journal.refresh()
    views, keys = asked.source.view_count or 1, asked.items.keys
    absent = [(view, _absent(journals, keys, view)) for view in range(views)]
    count = sum(len(rows) for _, rows in absent)
    if count > len(keys) * views // 10:  # the training ended before all views were shown; the next one goes on
        return
    for view, rows in absent:
        for some in torch.split(rows, 256):
            if len(some) and distributed.rank() == 0:  # an empty tensor splits into one empty piece
                batch = asked.source.batch_of_views(some, torch.full_like(some, view))
                assert batch.keys is not None
                said = asked.answer(batch)
                for tap, journal in journals.items():
                    journal.append(batch.keys, view, {tap: said[tap]})
    for journal in journals.values():
        journal.compact()


def _absent(journals: Mapping[str, Journal], keys: Tensor, view: int) -> Tensor:
    """Rows of the items that one of the journals lacks."""
    there = torch.stack([journal.has(keys, view) for journal in journals.values()]).all(0)
    return (~there).nonzero()[:, 0]


def _rows_by_key(items: Items) -> Callable[[Tensor], Tensor]:
    order = items.keys.argsort()
    ordered = items.keys[order]
    return lambda keys: order[torch.searchsorted(ordered, keys)]


def _shape(items: Items) -> str:
    """What an input looks like; of texts, the tokenizer that made them tokens."""
    tokens = getattr(items.storage, "identity", None)
    if tokens is not None:
        return str(tokens())
    first = items.fetch(torch.tensor([0]))
    return str(list(first.shape[1:])) if isinstance(first, Tensor) else type(first).__name__


def where_kept(folder: Path) -> dict[str, Path]:
    """The stores under a folder, by what they hold; where several hold the same, by where they lie too."""
    found = [path.parent for path in sorted(folder.glob(f"**/{MANIFEST}"))]
    names = [_holds(place) for place in found]
    return {
        name if names.count(name) == 1 else f"{name} in {place.parent.relative_to(folder)}": place
        for name, place in zip(names, found, strict=True)
    }


def _holds(place: Path) -> str:
    try:
        return ", ".join(read_manifest(place).codecs)
    except StoreError:  # damaged: whoever looks closer will say so
        return place.name


__all__ = ["AUTO", "Asked", "Keeping", "ask_codecs", "build", "folder_of", "open_answers", "where_kept"]
