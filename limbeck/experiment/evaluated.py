"""What is evaluated of a training: a module for each result, and the items that it reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from torch import nn

from limbeck.core.actors import Actors, Role, actor_inputs
from limbeck.core.batch import DEFAULT_VIEW
from limbeck.core.originals import with_originals
from limbeck.core.pruning import independent_parts
from limbeck.core.recalibration import recalibrate
from limbeck.core.reference_module import module_of, needs_recalibration
from limbeck.core.references import Reference
from limbeck.core.source import BatchPosition, Source
from limbeck.core.teachers import Teacher
from limbeck.data import Items
from limbeck.engine import Run
from limbeck.experiment.experiment import average_names
from limbeck.experiment.plan import STUDENT, Evaluated, Plan, references_of
from limbeck.experiment.plan_checks import matching_actors
from limbeck.models.adapters import merge_adapters

RECALIBRATION_STEPS = 8  # batches on which BatchNorm statistics are measured again


def expand_evaluated(plan: Plan, actors: Actors) -> Plan:
    """The plan with a result for each match of a pattern: `early: student:exits.*` becomes `early.layer1`, `early.layer2`."""
    found: dict[str, Evaluated] = {}
    named: list[tuple[str, Evaluated]]
    for result, evaluated in plan.evaluate.items():
        named = [(result, evaluated)]
        if not isinstance(evaluated, Teacher) and "*" in evaluated:
            matches = Reference.parse(evaluated, default=STUDENT, actors=actors).matches(actors)
            named = [(f"{result}.{_last_part(match)}", str(match)) for match in matches]
        for name, one in named:
            if name in found:
                raise ValueError(
                    f"evaluate.{result}: {one!r} and {found[name]!r} would both be the result {name!r}; rename one"
                )
            found[name] = one
    return replace(plan, evaluate=found)


def _last_part(reference: Reference) -> str:
    text = str(reference)
    for separator in (":", "@"):
        text = text.rpartition(separator)[2] or text
    return text.rpartition(".")[2]


def evaluated_references(plan: Plan) -> dict[str, Evaluated]:
    """What is evaluated, by the name of the result: of an actor whose training has an average (`ema`), the average.

    Members of an ensemble keep their names, and `read_from` has the averages by these.
    """
    if plan.training.ema is None:
        return dict(plan.evaluate)
    kept = average_names(plan)
    return {result: _of_average(evaluated, plan, kept) for result, evaluated in plan.evaluate.items()}


def _of_average(evaluated: Evaluated, plan: Plan, kept: Mapping[str, str]) -> Evaluated:
    if isinstance(evaluated, Teacher):
        return evaluated
    reference = Reference.parse(evaluated, default=STUDENT, actors=plan.actors)
    return str(replace(reference, actor=kept.get(reference.actor, reference.actor)))


def read_from(evaluated: Evaluated, plan: Plan, actors: Actors) -> Actors:
    """The actors of which the result is made: of an ensemble, averages (`ema`) have the names of their originals."""
    if plan.training.ema is None or not isinstance(evaluated, Teacher):
        return actors
    kept = _averages(plan, actors)
    found = {name: actor for name, actor in actors.items() if name not in kept.values()}
    return Actors(found | {name: replace(actors[average], of=None, role=Role.FROZEN) for name, average in kept.items()})


def _averages(plan: Plan, actors: Actors) -> dict[str, str]:
    """The averages (`ema`) among the actors, by the name of their originals."""
    given = {} if plan.training.ema is None else average_names(plan)
    return {name: average for name, average in given.items() if average in set(actors)}


def evaluated_actors(plan: Plan, actors: Actors, results: Iterable[str] | None = None) -> tuple[str, ...]:
    """The actors whose state decides what is evaluated: the models that a run keeps.

    Args:
        results: of these; None: of all.
    """
    kept = _averages(plan, actors)
    originals = {name: actor for name, actor in actors.items() if name not in kept.values()}
    found: list[str] = []
    for result, evaluated in plan.evaluate.items():
        if results is None or result in results:
            names = matching_actors("evaluate", references_of(evaluated), STUDENT, originals)
            found += [kept.get(name, name) for name in names]
    return tuple(dict.fromkeys(found))


def evaluated_modules(
    plan: Plan, actors: Actors, source: Source | None = None, *, averages: bool = True
) -> dict[str, nn.Module]:
    """A module for each result; it shares its weights with the actors.

    Args:
        source: where variants that ask for it (`Variant(recalibrate=True)`) measure their BatchNorm statistics again; None:
            they keep those of the actor.
        averages: whether averages (`ema`) stand for the actors that are evaluated.
    """
    references = evaluated_references(plan) if averages else plan.evaluate
    found = {}
    for result, evaluated in references.items():
        found[result] = module_of(evaluated, read_from(evaluated, plan, actors) if averages else actors)
        if source is not None and needs_recalibration(evaluated, actors):
            recalibrate(found[result], _inputs(source, evaluated, actors))
    return found


def _inputs(source: Source, evaluated: Evaluated, actors: Actors) -> Iterator[Any]:
    """The inputs of a few training batches, as what is evaluated reads them."""
    name = matching_actors("evaluate", references_of(evaluated)[0], STUDENT, actors)[0]
    device = next((parameter.device for parameter in actors[name].model.parameters()), "cpu")
    for step in range(RECALIBRATION_STEPS):
        batch = source.batch(BatchPosition(step)).to(device)
        yield actor_inputs(actors[name], name, batch.inputs[DEFAULT_VIEW])


def trained_models(plan: Plan, run: Run, source: Source | None) -> dict[str, nn.Module]:
    """The models of a finished training by result, on the CPU and in evaluation mode.

    Exits and variants hold only what they need, and are copies: the models of two results may share an actor. Adapters of PEFT
    are merged into their base.
    """
    shared = evaluated_modules(plan, run.actors, source)
    own = {id(actor.model) for actor in run.actors.values()}
    first = next(iter(plan.evaluate.values()))
    example: Any = None  # drawn where a model is pruned: it may have to be generated or decoded
    found = {}
    for (result, module), evaluated in zip(shared.items(), evaluated_references(plan).values(), strict=True):
        # A model keeps its exits, unless they are results of their own.
        whole = id(module) in own and not (len(shared) > 1 and independent_parts(module))
        if not whole and not needs_recalibration(evaluated, run.actors):
            if example is None and source is not None:
                example = next(_inputs(source, first, run.actors))
            module = module_of(evaluated, read_from(evaluated, plan, run.actors), prune=True, example=example)
        found[result] = merge_adapters(module.cpu().eval())
    return found


def items_of(items: Items, plan: Plan, evaluated: Evaluated) -> Items:
    """The items as what is evaluated reads them."""
    actor = matching_actors("evaluate", references_of(evaluated)[0], STUDENT, plan.actors)[0]
    return items.for_actor(with_originals(actor, plan.actors)[-1])  # a copy reads what its original does
