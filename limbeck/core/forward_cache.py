"""The signals of one step: each actor runs once, with gradient only where the update needs it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor

from limbeck.core.actors import Actor, Role, actor_inputs
from limbeck.core.batch import DEFAULT_VIEW, Batch, first_tensor, select_rows
from limbeck.core.errors import TapError
from limbeck.core.gradient_plan import GradientPlan
from limbeck.core.model_io import as_channels_last, call_model, in_precision_of
from limbeck.core.probe_set import ProbeSet
from limbeck.core.references import Reference
from limbeck.core.signals import Signal
from limbeck.core.taps.probe import Signals
from limbeck.utils.memory import is_out_of_memory
from limbeck.utils.seeds import mix_seeds

UNCHANGED = nullcontext()
ForwardKey = tuple[str, str | None, str]  # actor, variant, view


class ForwardCache:
    """The signals of one step on one batch, computed on first access and kept until the step is over.

    Args:
        probes: the actors with their probes.
        batch: the inputs.
        plan: which actors need gradient.
        autocast: data type of mixed precision; None for float32.
        seed: seed of random variants.
        generated: inputs that a generator made earlier in this step, so that all updates of the step see the same ones.
        dry_run: run for the shapes only: evaluation mode and no gradient everywhere.
        models: compiled replacements of actors' modules, by name.
        set_modes: put trained actors into training mode; False in a user's own loop, which sets the student's mode itself.
        kept: signals that are not released, because they are read after the losses.

    Attributes:
        forwards: how many times a model was run.
        teacher_items: items that frozen actors were run on.
    """

    def __init__(
        self,
        probes: ProbeSet,
        batch: Batch,
        plan: GradientPlan,
        *,
        autocast: torch.dtype | None = None,
        seed: int = 0,
        generated: Tensor | None = None,
        dry_run: bool = False,
        models: Mapping[str, Any] | None = None,
        set_modes: bool = True,
        kept: Collection[Reference] = (),
    ) -> None:
        self.probes, self.batch, self.plan = probes, batch, plan
        self.autocast, self.seed, self.dry_run, self.set_modes = autocast, seed, dry_run, set_modes
        self.generated, self.kept = generated, frozenset(kept)
        self.forwards = 0
        self.teacher_items = 0
        self._models = models or {}
        self._signals: dict[ForwardKey, Signals] = {}

    def __getitem__(self, reference: Reference) -> Tensor | Signal:
        """The signal that a reference names."""
        key = reference.forward_key
        signals = self._signals.get(key)
        if signals is None:
            signals = self._signals[key] = self._run(*key)
        return signals[reference.tap_name]

    def __contains__(self, reference: Reference) -> bool:
        """Whether this signal was computed already."""
        return reference.forward_key in self._signals

    def computed(self, reference: Reference) -> Tensor | Signal | None:
        """This signal if it was computed already, otherwise None."""
        return self._signals.get(reference.forward_key, Signals()).get(reference.tap_name)

    def release(self, references: Iterable[Reference]) -> None:
        """Drop signals that are not needed again; the autograd graph keeps what the backward pass needs of them."""
        for reference in references:
            signals = self._signals.get(reference.forward_key)
            if signals is not None and not (self.kept and reference in self.kept):
                signals.pop(reference.tap_name, None)

    def inputs(self, view: str) -> Any:
        """The inputs of the actors in this view: those of the batch, or what the generator makes of them."""
        if view not in self.batch.inputs:
            raise ValueError(
                f"view {view!r} is not among the views of the source: {', '.join(self.batch.inputs)}; name each view, as in "
                f"training: {{views: {{default: […], {view}: […]}}}}"
            )
        if self.plan.generator is None:
            return self.batch.inputs[view]
        if len(self.batch.inputs) > 1:
            views = ", ".join(self.batch.inputs)
            raise ValueError(f"{self.plan.generator!r} makes inputs of one view; its source gives {views}")
        if self.generated is None:
            generated = self[Reference(self.plan.generator, view=view)]
            assert isinstance(generated, Tensor)
            self.generated = generated
        return self.generated

    def _run(self, name: str, variant: str | None, view: str) -> Signals:
        """The signals of one actor, from the teacher cache if there is one that covers them."""
        actor, plan = self.probes.actors[name], self.plan
        inputs = actor_inputs(actor, name, self.batch.inputs[view] if name == plan.generator else self.inputs(view))
        gradient = not self.dry_run and torch.is_grad_enabled() and plan.needs_gradient(name)
        if self.set_modes or name not in plan.trains:
            self.probes.set_mode(name, name in plan.trains and not self.dry_run)
        if actor.cache is None or gradient or self.dry_run or variant is not None or view != DEFAULT_VIEW:
            return self._forward(name, actor, variant, inputs, gradient)

        def compute(rows: Tensor | None) -> Signals:
            return self._forward(name, actor, variant, inputs if rows is None else select_rows(inputs, rows), gradient)

        keys, shown, taps = self.batch.keys, self.batch.view, self.probes[name].taps
        if actor.cache.one_view and keys is not None:
            shown = torch.zeros_like(keys)
        if keys is None or shown is None or not actor.cache.covers(taps):
            return compute(None)
        return Signals(actor.cache.lookup(keys, shown, list(taps), self.batch.device, compute, inputs))

    def _forward(self, name: str, actor: Actor, variant: str | None, inputs: Any, gradient: bool) -> Signals:
        """One forward pass of an actor."""
        self.forwards += 1
        if actor.role is Role.FROZEN:
            self.teacher_items += first_tensor(inputs).shape[0]
        if actor.channels_last:
            inputs = as_channels_last(inputs)
        inputs = in_precision_of(self.probes.parameters(name), inputs)
        probe, run = self.probes[name], self._runner(name, variant)
        precision = actor.precision or self.autocast or torch.float32
        mixed = UNCHANGED if precision is torch.float32 else torch.autocast(self.batch.device.type, precision)
        recording = UNCHANGED if gradient is torch.is_grad_enabled() else torch.set_grad_enabled(gradient)
        with recording, mixed, _naming(name, actor, inputs, dry_run=self.dry_run):
            return self.probes.guard.run(name, actor.model.training, inputs, lambda given: probe(given, run))

    def _runner(self, name: str, variant: str | None) -> Any:
        """How the probe calls the model, `(model, inputs) -> output`; None to call it as it is."""
        if variant is None:
            model = self._models.get(name)
            return None if model is None else (lambda _, inputs: call_model(model, inputs))
        run = self.probes.actors[name].variants[variant]
        generator = torch.Generator().manual_seed(mix_seeds(self.seed, variant))
        return lambda model, inputs: run(model, inputs, generator)


@contextmanager
def _naming(name: str, actor: Actor, inputs: Any, *, dry_run: bool) -> Iterator[None]:
    """Names the actor whose model does not run on inputs, of which there may be many; in training by a note of the error."""
    try:
        yield
    except Exception as error:
        who, shape = f"actor {name!r} ({type(actor.model).__name__})", list(first_tensor(inputs).shape)
        if dry_run and isinstance(error, TapError):
            raise TapError(f"{who}: {error}") from error
        full = isinstance(error, torch.OutOfMemoryError) or is_out_of_memory(error)
        if dry_run and isinstance(error, RuntimeError | TypeError | IndexError) and not full:
            reason = str(error).splitlines() or [type(error).__name__]
            raise ValueError(f"{who} cannot read inputs of shape {shape}: {reason[0]}") from error
        if not dry_run:
            error.add_note(f"raised by {who} on inputs of shape {shape}")
        raise
