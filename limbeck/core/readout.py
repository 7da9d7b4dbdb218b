"""How the output of a reference is read from its model, in a forward pass of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.core.actors import RunVariant
from limbeck.core.errors import TapError
from limbeck.core.model_io import LOGITS, call_model
from limbeck.core.signals import AnySignal, LinearLogits
from limbeck.core.taps.attention_modules import KINDS
from limbeck.core.taps.batch_statistics import STATISTICS
from limbeck.core.taps.probe import Hook, Probe, Signals
from limbeck.core.taps.tap import Tap

SEED = 0  # of the generator of a variant, so that a random subnetwork is always the same one


@dataclass(frozen=True)
class Readout:
    """What is read of a model, as a reference says it.

    Attributes:
        tap: where the output is read.
        variant: how the model runs; None: as it is.
        output: what the tap `logits` stands for, see `Actor.output`.
        reads: the modality that the model is called with, if inputs are a mapping that has it.
    """

    tap: str = LOGITS
    variant: str | None = None
    output: str = LOGITS
    reads: str | None = None

    @property
    def is_plain(self) -> bool:
        """Whether the model itself gives this output."""
        return self.tap == LOGITS and self.variant is None and self.output == LOGITS

    def inputs_of(self, inputs: Any) -> Any:
        """The part of the inputs that the model is called with."""
        if self.reads is not None and isinstance(inputs, Mapping) and self.reads in inputs:
            return inputs[self.reads]
        return inputs


def given_inputs(inputs: Any, fields: Mapping[str, Any]) -> Any:
    """The inputs of a forward that takes one tensor, or keyword arguments."""
    if inputs is None:
        return fields
    return {"inputs": inputs, **fields} if fields else inputs


def run_of(variants: Mapping[str, RunVariant], variant: str | None) -> RunVariant | None:
    """How the model runs; None: as it is."""
    return None if variant is None else variants[variant]


def read_signals(
    model: nn.Module, inputs: Any, taps: Sequence[str], *, output: str = LOGITS, run: RunVariant | None = None
) -> Signals:
    """Runs a model once and returns the signals at these taps. The hooks are removed afterwards."""
    with Probe(model, taps, output=output) as probe:
        return probe(inputs, _runner(run))


def read_until(
    model: nn.Module, inputs: Any, tap: str, *, last: int | None, run: RunVariant | None = None
) -> tuple[Any, int | None]:
    """Runs a model until a tap is reached and returns the signal there.

    Args:
        last: which run of the tapped module is read, from 0; None: unknown, so that the model runs to its end.

    Returns:
        the signal and `last`, counted if it was unknown; None if the model has to run to its end always.
    """
    point = Tap.parse(tap).hook_point(model)
    if point.side in (*KINDS, STATISTICS) or tap == LOGITS:
        return read_signals(model, inputs, [tap], run=run)[tap], None
    counter = RunCounter(last if point.run is None else point.run)
    with Probe(model, [tap]) as probe, counter.attached(model.get_submodule(point.path), before=point.side == "input"):
        signals = probe(inputs, counter.stopping(_runner(run) or call_model))
    return signals[tap], counter.last if last is None else last


class RunCounter:
    """Counts the runs of a module, and ends the forward pass of its model after the last one that is needed.

    Attributes:
        count: number of runs in the latest forward pass.
    """

    def __init__(self, stop: int | None) -> None:
        self.stop, self.count = stop, 0

    @property
    def last(self) -> int | None:
        return self.stop if self.stop is not None else max(self.count - 1, 0)

    @contextmanager
    def attached(self, module: nn.Module, *, before: bool) -> Iterator[None]:
        """Counts inside the block; `before` the module runs, or after it."""
        hook = Hook(self._reached)
        handle = (
            module.register_forward_pre_hook(hook.before, with_kwargs=True)
            if before
            else module.register_forward_hook(hook.after)
        )
        try:
            yield
        finally:
            handle.remove()

    def stopping(self, run: Callable[[nn.Module, Any], Any]) -> Callable[[nn.Module, Any], Any]:
        """`run`, which returns None if it was ended."""

        def until_reached(model: nn.Module, inputs: Any) -> Any:
            self.count = 0
            entered = _traced_stack()
            depth = len(entered)
            try:
                return run(model, inputs)
            except ReachedError:
                while len(entered) > depth:
                    entered.popitem()
                return None

        return until_reached

    def _reached(self, _: Any) -> None:
        self.count += 1
        if self.stop is not None and self.count > self.stop:
            raise ReachedError


class ReachedError(Exception):
    """Ends a forward pass; the rest of the model is not needed."""


def _traced_stack() -> dict[str, Any]:
    """The modules that torch.export is inside of while it traces; it does not leave those that an exception ends."""
    from torch.fx.experimental.proxy_tensor import get_proxy_mode

    mode = get_proxy_mode()
    return getattr(getattr(mode, "tracer", None), "module_stack", {})


def dense(signal: AnySignal, name: str) -> Tensor:
    """A signal as one tensor.

    Raises:
        TapError: it is none.
    """
    tensor = signal.dense() if isinstance(signal, LinearLogits) else signal
    if not isinstance(tensor, Tensor):
        raise TapError(f"{name!r} gives {type(signal).__name__}, and a module returns one tensor")
    return tensor


def _runner(run: RunVariant | None) -> Callable[[nn.Module, Any], Any] | None:
    if run is None:
        return None
    return lambda model, inputs: run(model, inputs, torch.Generator().manual_seed(SEED))
