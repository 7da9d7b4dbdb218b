"""The module of an early exit: a network that stops as soon as all items of a batch have left."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from limbeck.core.ensemble_module import EnsembleModule, Member
from limbeck.core.model_io import LOGITS, call_model, is_traced, select_output
from limbeck.core.readout import ReachedError, given_inputs
from limbeck.core.signals import AnySignal
from limbeck.core.taps.probe import Hook, Probe
from limbeck.core.taps.tap import Tap
from limbeck.core.teachers.early_exit import EarlyExit, leave, sureness


class EarlyExitModule(EnsembleModule):
    """A network that returns, for each item, the logits of its first exit that is sure enough.

    One item costs what lies before the exit at which it leaves. A batch runs until its last item has left. While the model is
    traced or exported it runs to its end, because the graph of an exported file has no place to stop.

    Args:
        models: the network.
        members: its exits in the order in which they run.
        teacher: an `EarlyExit`.

    Raises:
        ValueError: exits of several networks, or of its variants.
    """

    builder = "early_exit"

    def __init__(self, models: Sequence[nn.Module], members: Sequence[Member], teacher: EarlyExit) -> None:
        if len(models) > 1 or any(member.readout.variant is not None for member in members):
            names = ", ".join(member.name for member in members)
            raise ValueError(f"EarlyExit: {names} are not the exits of one network; name those of one, in the order they run")
        teacher.thresholds(len(members))
        super().__init__(models, members, teacher)

    @property
    def early_exit(self) -> EarlyExit:
        """The rule by which items leave, which belongs to this module alone."""
        assert isinstance(self.teacher, EarlyExit)
        return self.teacher

    def forward(self, inputs: Any = None, **fields: Any) -> Tensor:
        given = given_inputs(inputs, fields)
        signals = self.exits(given, stop=not (is_traced() or self.training))
        thresholds = self.early_exit.thresholds(len(self.members))
        return leave(signals, thresholds[: len(signals) - 1])  # behind the last of those that ran no item is left

    def exits(self, inputs: Any, *, stop: bool = False) -> list[AnySignal]:
        """The logits of the exits; with `stop` only of those that ran before all items had left."""
        taps, readout = [member.readout.tap for member in self.members], self.members[0].readout
        run, handles = _Run(), []
        with Probe(self.models[0], [tap for tap in taps if tap != LOGITS]) as probe:
            if stop:
                handles = [
                    module.register_forward_hook(Hook(functools.partial(run.look, threshold)).after)
                    for module, threshold in zip(self.exit_modules(), self.early_exit.thresholds(len(taps)), strict=False)
                    if module is not None
                ]
            try:
                found: dict[str, AnySignal] = {**probe(readout.inputs_of(inputs), run)}
            finally:
                for handle in handles:
                    handle.remove()
        if run.output is not None:
            found[LOGITS] = select_output(run.output, readout.output)
        return [found[tap] for tap in taps if tap in found]

    def exit_modules(self) -> list[nn.Module | None]:
        """The module that computes each exit; None for the network's own output."""
        model = self.models[0]
        taps = [member.readout.tap for member in self.members]
        return [None if tap == LOGITS else model.get_submodule(Tap.parse(tap).hook_point(model).path) for tap in taps]


class _Run:
    """Runs a network until every item of the batch was sure enough at one of its exits.

    Attributes:
        output: of the network; None if it ended before.
    """

    def __init__(self) -> None:
        self.inside: Tensor | None = None  # items that have not left yet
        self.output: Any = None

    def look(self, threshold: float, logits: Tensor) -> None:
        unsure = sureness(logits) < threshold
        self.inside = unsure if self.inside is None else self.inside & unsure
        if not bool(self.inside.any()):
            raise ReachedError

    def __call__(self, model: nn.Module, inputs: Any) -> Any:
        self.inside = self.output = None
        with contextlib.suppress(ReachedError):
            self.output = call_model(model, inputs)
        return self.output
