"""Batches of which BatchNorm cannot take statistics, because a part holds one item: found before anything is trained."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from limbeck.core.actors import Actors, preserve_gradient_flags
from limbeck.core.batch import Batch
from limbeck.core.criterion import Criterion
from limbeck.core.forward_cache import ForwardCache
from limbeck.core.model_io import preserve_buffers, preserve_modes
from limbeck.core.source import BatchPosition, Source
from limbeck.data import Dataset
from limbeck.engine import Settings, Stage, Update
from limbeck.engine.freezing import TrainableParameters
from limbeck.engine.gradient_checkpointing import check_checkpointing
from limbeck.engine.sharding_checks import check_sharding
from limbeck.engine.stages import resolve_stages
from limbeck.utils import distributed

TORCH_MESSAGE = "Expected more than 1 value per channel"


def check_training_batches(
    actors: Actors, stages: Sequence[Stage], source: Source | None, settings: Settings, *, who: str, seed: int
) -> None:
    """Draws the parts of batches that processes and accumulation steps get, and trains on those of one item, without a step.

    Args:
        actors: of the training; they stay as they are.
        source: of the updates that name none.
        who: trains, for the message.

    Raises:
        ValueError: a batch does not divide into the parts, BatchNorm gets one value per channel, or something does not work
            with sharded weights.
    """
    check_sharding(actors, stages, source, settings)
    check_checkpointing(actors, stages, settings)
    parts = settings.accumulate * distributed.world_size()
    trainable, resolved = TrainableParameters(actors), resolve_stages(stages, actors)
    for number, stage in enumerate(resolved):
        trainable.replay(resolved[:number], stage)
        for update in stage.updates:
            drawn = update.source or source
            if drawn is None:
                continue
            drawn.bind({name: actor.model for name, actor in actors.items()})
            if settings.sync_batch_norm and distributed.world_size() > 1:  # the parts of all processes are normalised together
                if isinstance(drawn, Dataset):
                    drawn.part_size(parts)
                continue
            piece = _single_item(drawn, parts, seed)
            if piece is not None and (layer := _failing_layer(actors, update, drawn, piece, trainable.frozen)):
                raise ValueError(
                    f"{who}: the BatchNorm layer {layer} cannot train on one item, and a part of a batch holds one: "
                    f"{_remedy(drawn, parts)}, or replace its BatchNorm by GroupNorm"
                )


def _single_item(source: Source, parts: int, seed: int) -> Batch | None:
    """A part of one item that the source gives; None if there is none."""
    if isinstance(source, Dataset):  # all parts are of one size
        return source.batch(BatchPosition(0, seed, 0, parts)) if source.part_size(parts) == 1 else None
    size = getattr(source, "batch_size", None)
    if source.steps_per_epoch is None and isinstance(size, int) and size >= 2 * parts and size % parts == 0:
        return None  # making batches may be expensive
    last = (source.steps_per_epoch or 1) - 1
    for step in dict.fromkeys((0, last)):
        piece = source.batch(BatchPosition(step, seed, parts - 1, parts))
        if piece.size == 1:
            return piece
    return None


def _failing_layer(actors: Actors, update: Update, source: Source, piece: Batch, frozen: set[int]) -> str | None:
    """The BatchNorm layer that fails on this piece in training mode; None if all are able to train on it."""
    names = [name for name in update.trains if _batch_norms(actors[name].model)]
    criterion = Criterion(update.terms, actors=actors, trains=update.trains, generator=source.generator)
    criterion.build(piece, samples=source.samples)
    if not names and not _batch_norms(criterion):
        return None
    models = {**{name: actors[name].model for name in names}, "adapters of the terms": criterion}
    try:
        with ExitStack() as stack:
            last = stack.enter_context(_last_layer(models))
            stack.enter_context(preserve_modes(*models.values()))
            stack.enter_context(torch.random.fork_rng(devices=[]))
            for model in models.values():
                stack.enter_context(_restored(model, frozen))
            try:
                criterion.train()(piece, forward_cache=ForwardCache(criterion.probes, piece, criterion.plan))
            except ValueError as error:
                if TORCH_MESSAGE not in str(error):
                    raise
                return last()
    finally:
        criterion.close()
    return None


def _batch_norms(model: nn.Module) -> dict[str, nn.Module]:
    return {path: module for path, module in model.named_modules() if isinstance(module, _BatchNorm)}


@contextmanager
def _last_layer(models: dict[str, nn.Module]) -> Iterator[Callable[[], str]]:
    """Follows which BatchNorm layer is called last."""
    called = ["of an objective"]

    def note(name: str) -> Callable[..., None]:
        return lambda *_: called.append(name)

    hooks = [
        layer.register_forward_pre_hook(note(f"{path!r} of {name}"))
        for name, model in models.items()
        for path, layer in _batch_norms(model).items()
    ]
    try:
        yield lambda: called[-1]
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def _restored(model: nn.Module, frozen: set[int]) -> Iterator[None]:
    """Parameters frozen by a stage collect no gradient inside; buffers and flags are then as before."""
    with preserve_gradient_flags(model), preserve_buffers(model):
        for parameter in model.parameters():
            parameter.requires_grad_(id(parameter) not in frozen)
        yield


def _remedy(source: Source, parts: int) -> str:
    shares = "" if parts == 1 else f" in {parts} parts (processes × accumulation steps)"
    if not isinstance(source, Dataset):
        return f"{type(source).__name__} gives it{shares}; let it give {2 * parts} items or more to every batch"
    items = len(source.items)
    if items < 2 * parts:
        return f"there {'is 1 item' if items == 1 else f'are {items} items'} to train on{shares}; give {2 * parts} or more"
    return f"batch_size is {source.batch_size}{shares}; set it to {2 * parts} or more"
