"""Gradient checkpointing: blocks keep their inputs only, and compute the rest again in the backward pass."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from limbeck.core.actors import Actors
from limbeck.core.criterion import Criterion
from limbeck.core.model_io import preserve_buffers
from limbeck.core.repeated_blocks import repeated_blocks
from limbeck.core.taps.attention_modules import KINDS
from limbeck.core.taps.batch_statistics import STATISTICS
from limbeck.engine.settings import Settings
from limbeck.engine.sharding_checks import references_of
from limbeck.engine.stages import Stage
from limbeck.engine.sync_batch_norm import synchronized_batch_norm

TRANSFORMERS_LAYER = "GradientCheckpointingLayer"  # does it itself, and leaves out its cache of keys and values
OWN = ("gradient_checkpointing", "_gradient_checkpointing_func")  # its attributes: whether, and with which function


def check_checkpointing(actors: Actors, stages: Sequence[Stage], settings: Settings) -> None:
    """Checks that a training can run with `Settings.gradient_checkpointing`; does nothing without it.

    Raises:
        ValueError: a trained model has no repeated blocks, or a term reads a variant.
    """
    for stage in stages if settings.gradient_checkpointing else ():
        for update in stage.updates:
            for text in (text for term in update.terms for text in references_of(term) if "@" in text):
                raise ValueError(
                    f"gradient_checkpointing: {text} is a variant, which may run blocks in a state that is gone when they are "
                    "computed again; set gradient_checkpointing: false"
                )
            for name in (name for pattern in update.trains for name in actors.matching(pattern)):
                if not repeated_blocks(actors[name].model):
                    raise ValueError(
                        f"gradient_checkpointing: {name!r} ({type(actors[name].model).__name__}) has no repeated blocks, which "
                        "are what is computed again; set gradient_checkpointing: false, or accumulate: to save memory"
                    )


def checkpointed_blocks(criterion: Criterion) -> list[nn.Module]:
    """Returns the repeated blocks of all actors through which gradient flows.

    Those in which attention or statistics are tapped are left out: recording changes what they compute.
    """
    found = []
    for name, probe in criterion.probes.by_actor.items():
        if criterion.plan.needs_gradient(name):
            model = criterion.actors[name].model
            tapped = {tap.find(model) for tap in probe.taps.values() if tap.of in (*KINDS, STATISTICS)}
            found += [block for block in repeated_blocks(model).values() if tapped.isdisjoint(block.modules())]
    return found


def checkpointing(blocks: Sequence[nn.Module], *, synchronized: bool) -> AbstractContextManager[object]:
    """Runs these blocks with `torch.utils.checkpoint` inside; outside they are as before.

    Module hooks of a block itself stay outside of what is computed again. Those of its submodules fire a second time in the
    backward pass, when probes do not record. Random numbers are the same, and buffers, such as running statistics, are
    changed once.

    Args:
        synchronized: whether BatchNorm takes its statistics from all processes.
    """
    return _checkpointing(blocks, synchronized) if blocks else nullcontext()


@contextmanager
def _checkpointing(blocks: Sequence[nn.Module], synchronized: bool) -> Iterator[None]:
    with ExitStack() as stack:
        for block in blocks:
            run = functools.partial(_run, block, synchronized)
            if any(kind.__name__ == TRANSFORMERS_LAYER for kind in type(block).__mro__):
                for name, value in zip(OWN, (True, run), strict=True):
                    stack.enter_context(_with_attribute(block, name, value))
            else:
                stack.enter_context(_with_attribute(block, "forward", functools.partial(run, block.forward)))
        yield


@contextmanager
def _with_attribute(module: nn.Module, name: str, value: Any) -> Iterator[None]:
    """Sets an attribute of this object, not of its class."""
    missing = object()
    before = vars(module).get(name, missing)
    object.__setattr__(module, name, value)
    try:
        yield
    finally:
        if before is missing:
            object.__delattr__(module, name)
        else:
            object.__setattr__(module, name, before)


def _run(block: nn.Module, synchronized: bool, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    if not torch.is_grad_enabled():
        return function(*args, **kwargs)

    def contexts() -> tuple[AbstractContextManager[Any], AbstractContextManager[Any]]:
        return nullcontext(), _ComputingAgain(block, synchronized)

    return checkpoint(function, *args, use_reentrant=False, context_fn=contexts, **kwargs)


class _ComputingAgain:
    """In the backward pass: with the same statistics over processes, and without a second change of buffers.

    It is entered once for each backward pass through a forward pass.
    """

    def __init__(self, block: nn.Module, synchronized: bool) -> None:
        self.block, self.synchronized = block, synchronized
        self._left = ExitStack()

    def __enter__(self) -> None:
        self._left.enter_context(preserve_buffers(self.block))  # autograd has saved some of them
        self._left.enter_context(synchronized_batch_norm(self.synchronized))

    def __exit__(self, *error: Any) -> None:
        self._left.close()
