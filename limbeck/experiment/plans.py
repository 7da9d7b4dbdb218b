"""The plans of all arms of an experiment: what is distilled, its control, and further controls."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from limbeck.core.source import Source
from limbeck.data import Items
from limbeck.engine import Stage, Update
from limbeck.engine.training import Training
from limbeck.evaluation.arms import ARMS, INITIAL
from limbeck.experiment.plan import CONTROL, STUDENT, Plan, as_list, make_plan
from limbeck.experiment.plan_checks import check_control, check_plan, matching, matching_actors, updates_of
from limbeck.experiment.task_checks import check_task
from limbeck.tasks import Classification, Task
from limbeck.utils.argument_types import require, require_mapping
from limbeck.utils.folder_names import require_folder_name
from limbeck.utils.registry import nearest_names

CHANGES = ["terms", "stages", "actors", "student", "training", "source", "equal"]  # what a further control may replace


HANDLED = ("actors", "source", "terms", "equal")  # in ways of their own


def make_plans(
    given: Mapping[str, Any],
    *,
    control: bool,
    control_training: Training | None,
    controls: Mapping[str, Mapping[str, Any]],
) -> dict[str, Plan]:
    """Returns the plans by arm.

    Args:
        given: arguments of `make_plan` for what is distilled.
        control: whether there is a control on labels only.
        control_training: of the control; None: the same.
        controls: by name, the arguments in which further controls differ.

    Raises:
        ValueError: names that do not fit, a control with a teacher; the message names the field.
    """
    plans = {STUDENT: make_plan(**given)}
    _check_sources(plans[STUDENT])
    check_plan(plans[STUDENT])
    if control:
        plans[CONTROL] = replace(plans[STUDENT], training=control_training or plans[STUDENT].training)
    require_mapping("controls", controls, "{'smoothing': {'terms': […]}}")
    for name, changes in controls.items():
        check_control_name(name)
        require_mapping(f"controls.{name}", changes, "{'terms': […]}")
        plans[name] = further_control(name, given, changes)
    task: Task = given.get("task") or Classification()
    for name, plan in plans.items():
        try:
            check_task(plan, task)
        except ValueError as error:
            raise error if name == STUDENT else ValueError(f"controls.{name}.{error}") from error
    return plans


def _check_sources(plan: Plan) -> None:
    for place, stage in enumerate(plan.stages):
        for field, update in updates_of(plan, place, stage):
            if update.source is not None:
                require(f"{field}source", update.source, Source | Items, "Generated('generator', noise=64), or items")


def check_control_name(name: str) -> None:
    """Raises `ValueError` if a control cannot have this name, which names an arm and a folder."""
    names = (*ARMS, INITIAL)
    if name in names or not re.fullmatch(r"[\w+-]+", name):
        taken = f"; {', '.join(names)} are taken" if name in names else ""
        raise ValueError(f"controls: {name!r} names an arm and a folder; use letters, digits, '-', '_' and '+'{taken}")
    require_folder_name(name, "controls")


def further_control(name: str, given: Mapping[str, Any], changes: Mapping[str, Any]) -> Plan:
    """Returns the plan with some of its arguments replaced.

    Raises:
        ValueError: an argument that a control cannot replace, or terms that learn from a frozen teacher.
    """
    for field in changes:
        if field not in CHANGES:
            raise ValueError(f"controls.{name}: {field!r} cannot differ; nearest: {', '.join(nearest_names(field, CHANGES))}")
    if not any(changes.get(field) for field in CHANGES if field != "equal"):
        offer = ", ".join(field for field in CHANGES if field != "equal")
        raise ValueError(f"controls.{name}: it has nothing that differs; give one of {offer}")
    arguments = {**given, **{field: value for field, value in changes.items() if field not in HANDLED}}
    if "actors" in changes:
        arguments["actors"] = {**(given.get("actors") or {}), **changes["actors"]}
    if "stages" in changes:
        arguments["terms"] = None
    if changes.get("equal", "steps") not in ("steps", "compute"):
        raise ValueError(f"controls.{name}: equal is {changes['equal']!r}; expected 'steps' or 'compute'")
    try:
        plan = make_plan(**arguments)
        plan = replace(plan, equal=changes.get("equal", "steps"))
        if "terms" in changes:
            plan = replace(plan, replaced_terms=as_list(changes["terms"]))
        if "source" in changes:
            plan = replace(plan, stages=_with_source(plan, changes["source"]))
        check_plan(plan)
    except ValueError as error:
        raise ValueError(f"controls.{name}: {error}") from error
    if {"terms", "stages"} & set(changes):
        check_control(name, plan)
    return plan


def _with_source(plan: Plan, source: Any) -> list[Stage]:
    """The stages with this source for all updates that name one, or with those that a mapping puts in place of others.

    An update that has nothing to train on its new source is left out: that of a generator whose inputs nobody reads.
    """
    found = []
    for stage in plan.stages:
        updates = [replace(one, source=_replaced(one.source, source)) for one in stage.updates]
        kept = [one for one in updates if one.source is None or _trains_something(one, plan)]
        if kept:
            found.append(replace(stage, updates=kept))
    if not found:
        raise ValueError("source: nothing is trained on it; give the control stages of its own")
    return found


def _replaced(given: Any, source: Any) -> Any:
    if given is None:
        return None
    return source.get(given, given) if isinstance(source, Mapping) else source


def _trains_something(update: Update, plan: Plan) -> bool:
    """Whether the terms of an update read an actor that it trains, or one that makes its inputs."""
    read = {getattr(update.source, "generator", None)}
    read |= {name for term in update.terms for name in matching_actors("terms", term.student, STUDENT, plan.actors)}
    return any(name in read for pattern in update.trains for name in matching("trains", pattern, plan.actors))
