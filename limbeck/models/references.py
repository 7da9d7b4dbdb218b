"""Exits, variants and ensembles as models by name, so that what a run evaluates can be saved, loaded and exported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from limbeck.core.actors import RunVariant
from limbeck.core.early_exit_module import EarlyExitModule
from limbeck.core.ensemble_module import EnsembleModule, members_of
from limbeck.core.model_io import LOGITS
from limbeck.core.readout import Readout
from limbeck.core.reference_module import ReferenceModule
from limbeck.core.teachers.early_exit import EarlyExit
from limbeck.core.teachers.ensemble import Ensemble
from limbeck.models.base import get, register_builder
from limbeck.utils.registry import UnknownNameError

Spec = Mapping[str, Any]


@register_builder("exit")
def exit_of(
    of: Spec,
    tap: str = LOGITS,
    *,
    variant: str | None = None,
    output: str = LOGITS,
    reads: str | None = None,
    removed: Sequence[str] = (),
    last_run: int | None = None,
) -> ReferenceModule:
    """A model that returns the signal at one of its taps, such as an early exit.

    Args:
        of: the model, `{"model": name, "args": {...}}`.
        tap: where the output is read.
        variant: how the model runs: a name in its attribute `variants`.
        output: which output of the model `logits` stands for.
        reads: the field that the model is called with.
        removed: paths of modules that the exit does not need, and that are left out.
        last_run: which run of the tapped module is read, if it is known.

    Raises:
        ValueError: an unknown model, variant, or a module that does not exist.
    """
    model = _build(of)
    run = None if variant is None else _variants(model).get(variant)
    if variant is not None and run is None:
        raise UnknownNameError(f"variant of {of['model']!r}", variant, list(_variants(model)))
    return ReferenceModule(model, Readout(tap, variant, output, reads), run, removed=removed, last_run=last_run)


@register_builder("variant")
def variant_of(of: Spec, name: str) -> ReferenceModule:
    """A model that always runs one of its variants, such as the smallest width of a supernet.

    Args:
        of: the model, `{"model": name, "args": {...}}`; its attribute `variants` maps names to functions.
        name: of the variant.

    Raises:
        ValueError: an unknown model or variant.
    """
    return exit_of(of, variant=name)


@register_builder("ensemble")
def ensemble_of(models: Sequence[Spec], members: Sequence[Spec], by: Spec) -> EnsembleModule:
    """Several models whose outputs are combined to one.

    Args:
        models: the models, each `{"model": name, "args": {...}}`.
        members: for each signal its `name`, the number of its `model`, and `tap`, `variant`, `output`, `reads` as of an exit.
        by: arguments of `limbeck.core.teachers.Ensemble`.

    Raises:
        ValueError: an unknown model, or arguments that an ensemble does not have.
    """
    built = [_build(spec) for spec in models]
    return EnsembleModule(built, members_of(members, [_variants(model) for model in built]), Ensemble(**by))


@register_builder("early_exit")
def early_exit_of(models: Sequence[Spec], members: Sequence[Spec], by: Spec) -> EarlyExitModule:
    """A network with exits that returns, for each item, the logits of the first exit that is sure enough.

    Args:
        models: the network with its exits, `{"model": name, "args": {...}}`, as the only one of a list.
        members: for each exit its `name`, the number of its `model`, and `tap`, `output`, `reads` as of an exit.
        by: arguments of `limbeck.core.teachers.EarlyExit`.

    Raises:
        ValueError: an unknown model, exits of several networks, or arguments that an early exit does not have.
    """
    built = [_build(spec) for spec in models]
    return EarlyExitModule(built, members_of(members, [_variants(model) for model in built]), EarlyExit(**by))


def _build(spec: Spec) -> nn.Module:
    return get(spec["model"], **spec.get("args", {}))


def _variants(model: nn.Module) -> Mapping[str, RunVariant]:
    found = getattr(model, "variants", None)
    return found if isinstance(found, Mapping) else {}
