"""Modules of references: what a term can name, as one module that can be evaluated, saved and exported."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from torch import Tensor, nn

from limbeck.core.actors import Actor, Actors, RunVariant
from limbeck.core.early_exit_module import EarlyExitModule
from limbeck.core.ensemble_module import EnsembleModule, Member, refuse_if_undecidable
from limbeck.core.model_io import LOGITS
from limbeck.core.pruning import independent_parts, prune_to_tap, remove_modules
from limbeck.core.readout import Readout, dense, given_inputs, read_signals, read_until, run_of
from limbeck.core.references import Reference
from limbeck.core.teachers.base import Teacher
from limbeck.core.teachers.early_exit import EarlyExit

SpecOf = Callable[[nn.Module], dict[str, Any] | None]


class ReferenceModule(nn.Module):
    """A model that returns one of its signals: an exit, a variant, or a chosen output.

    It is called as the model is: with a tensor, or with keyword arguments. The forward pass ends where the tap is reached (from
    the second call on, because the first one counts how often the tapped module runs).

    Args:
        model: the model.
        readout: what is read of it.
        run: how the variant runs the model; None: as it is.
        removed: paths of submodules that the result does not need; they are taken out of `model`.
        last_run: which run of the tapped module is read, if it is known.
    """

    def __init__(
        self,
        model: nn.Module,
        readout: Readout,
        run: RunVariant | None = None,
        *,
        removed: Sequence[str] = (),
        last_run: int | None = None,
    ) -> None:
        super().__init__()
        remove_modules(model, removed)
        self.model, self.readout, self.run = model, readout, run
        self.removed, self.last_run = list(removed), last_run
        self.training = model.training  # those of its parts stay as they are

    def forward(self, inputs: Any = None, **fields: Any) -> Tensor:
        given, tap = self.readout.inputs_of(given_inputs(inputs, fields)), self.readout.tap
        if tap == LOGITS:
            signals = read_signals(self.model, given, [tap], output=self.readout.output, run=self.run)
            return dense(signals[tap], tap)
        signal, last = read_until(self.model, given, tap, last=self.last_run, run=self.run)
        self.last_run = last
        return dense(signal, tap)

    def spec(self, spec_of: SpecOf) -> dict[str, Any] | None:
        """How it is built, from how its model is built: `{"model": name, "args": {...}}`; None if that is unknown."""
        inner = spec_of(self.model)
        if inner is None:
            return None
        if self.readout.variant is not None and self.readout == Readout(variant=self.readout.variant) and not self.removed:
            return {"model": "variant", "args": {"of": inner, "name": self.readout.variant}}
        last = self.last_run if self.removed else None
        args = asdict(self.readout) | {"removed": self.removed, "last_run": last}
        return {"model": "exit", "args": {"of": inner, **args}}


def module_of(
    evaluated: str | Reference | Teacher, actors: Mapping[str, Actor], *, prune: bool = False, example: Any = None
) -> nn.Module:
    """The module of whatever a term can name, called as the model is called, and returning the logits.

    Of an actor it is the model itself. Exits, taps, variants and chosen outputs are read from the model by a `ReferenceModule`,
    ensembles and other teachers that compute their output from signals by an `EnsembleModule`. Weights are shared with the
    actors, except for a variant that asks for statistics of its own (`Variant(recalibrate=True)`), whose model is copied.

    Args:
        evaluated: a reference such as `student`, `student:exits.layer1`, `net@small`, `average`; or an `Ensemble`.
        actors: the actors of the run.
        prune: return an independent copy instead that holds only what the result needs: of an exit, modules that run after it
            are removed, and of the model's own output all exits. They are found by tracing the model symbolically, or by
            running it on `example`; where neither tells, all of it is kept.
        example: inputs for the run that finds them.

    Raises:
        ValueError: an unknown actor, variant or tap, with the nearest names; a pattern of several references; a view; a teacher
            whose output needs labels or a student.
    """
    known = actors if isinstance(actors, Actors) else Actors(actors)
    if isinstance(evaluated, Teacher):
        return _ensemble(evaluated, known, prune=prune)
    reference = _single(evaluated, known)
    model, readout, run = _model_of(reference, known, copied=prune)
    if readout.tap == LOGITS:
        removed = independent_parts(model) if prune and known[reference.actor].output == LOGITS else []
        return model if readout.is_plain and not removed else ReferenceModule(model, readout, run, removed=removed)
    if not prune:
        return ReferenceModule(model, readout, run)
    removed, last = prune_to_tap(model, readout.tap, run=run, example=example)
    return ReferenceModule(model, readout, run, removed=removed, last_run=last)


def needs_recalibration(evaluated: str | Reference | Teacher, actors: Mapping[str, Actor]) -> bool:
    """Whether the module of this needs its BatchNorm statistics measured again (`recalibrate`) before it is evaluated.

    Raises:
        ValueError: an unknown actor or variant, with the nearest names.
    """
    known = actors if isinstance(actors, Actors) else Actors(actors)
    references = _members(evaluated, known) if isinstance(evaluated, Teacher) else [_single(evaluated, known)]
    return any(_recalibrated(reference, known) for reference in references)


def _single(evaluated: str | Reference, actors: Actors) -> Reference:
    reference = evaluated if isinstance(evaluated, Reference) else Reference.parse(evaluated, actors=actors)
    found = reference.matches(actors)
    if len(found) > 1:
        names = ", ".join(map(str, found))
        raise ValueError(
            f"{str(reference)!r} stands for several signals ({names}), and one module gives one output; name one of them, or "
            f'combine them: Ensemble("{reference}")'
        )
    return _checked(found[0], actors)


def _members(evaluated: Teacher, actors: Actors) -> list[Reference]:
    default = "teacher" if "teacher" in list(actors) else "student"
    patterns = [Reference.parse(text, default=default, actors=actors) for text in evaluated.references]
    return [_checked(found, actors) for pattern in patterns for found in pattern.matches(actors)]


def _checked(reference: Reference, actors: Actors) -> Reference:
    reference.check(actors)
    if reference.view != "default":
        plain = replace(reference, view="default")
        raise ValueError(f"{str(reference)!r} names a view, and a module has no views; name {str(plain)!r}")
    return reference


def _recalibrated(reference: Reference, actors: Actors) -> bool:
    variants = actors[reference.actor].variants
    return reference.variant is not None and bool(getattr(variants[reference.variant], "recalibrate", False))


def _model_of(reference: Reference, actors: Actors, *, copied: bool) -> tuple[nn.Module, Readout, RunVariant | None]:
    """The model that a reference names, how its output is read, and how it runs."""
    actor = actors[reference.actor]
    own = copied or _recalibrated(reference, actors)
    model = copy.deepcopy(actor.model) if own else actor.model
    readout = Readout(reference.tap, reference.variant, actor.output, actor.reads)
    return model, readout, run_of(actor.variants, reference.variant)


def _ensemble(teacher: Teacher, actors: Actors, *, prune: bool) -> EnsembleModule:
    refuse_if_undecidable(teacher)
    models: dict[tuple[str, str | None], nn.Module] = {}
    members = []
    for reference in _members(teacher, actors):
        key = (reference.actor, reference.variant if _recalibrated(reference, actors) else None)
        model, readout, run = _model_of(reference, actors, copied=False)
        models.setdefault(key, model)
        members.append(Member(str(reference), list(models).index(key), readout, run))
    if isinstance(teacher, EarlyExit):
        module: EnsembleModule = EarlyExitModule(list(models.values()), members, teacher)
    else:
        module = EnsembleModule(list(models.values()), members, teacher)
    return copy.deepcopy(module) if prune else module
