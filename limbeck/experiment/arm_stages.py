"""The stages of one arm: with sources for its training, lengths in steps, and labels only for the control."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import replace

from limbeck.core.references import Reference
from limbeck.core.source import Source
from limbeck.core.terms import Term
from limbeck.data import Dataset, Items
from limbeck.engine import Reinitialise, Snapshot, Stage, Update, steps
from limbeck.engine.source_checks import pacing_source
from limbeck.engine.stages import Event
from limbeck.experiment.experiment import Experiment
from limbeck.experiment.plan import CONTROL, STUDENT, Plan, references_of
from limbeck.experiment.plan_checks import matching, matching_actors
from limbeck.tasks import Task


def arm_stages(experiment: Experiment, plan: Plan, source: Dataset | None) -> list[Stage]:
    """Returns the stages of a training.

    Sources start anew for every training; updates that share one share it here too. Lengths are in steps, so that the control
    can take as many steps, whatever it draws from.

    Args:
        source: the training data; None if there is none.
    """
    sources: dict[int, Source] = {}

    def new_source(given: Source | Items) -> Source:
        if id(given) not in sources:
            sources[id(given)] = experiment.fresh_source(given, plan)
        return sources[id(given)]

    stages = []
    for stage in plan.stages:
        updates = [one if one.source is None else replace(one, source=new_source(one.source)) for one in stage.updates]
        drawn = [each for one in updates if (each := one.source or source) is not None]
        length = steps(stage.length.in_steps(pacing_source(drawn) if drawn else None))
        stages.append(replace(stage, updates=updates, length=length, optimizer=stage.optimizer or plan.training.optimizer))
    return stages


def arm_data(
    experiment: Experiment, name: str, train: Items | None
) -> tuple[list[Stage], Dataset | None, Dataset | None, bool]:
    """Returns the stages of an arm's training by its name.

    Returns:
        the stages; the source of the updates that name none; the whole training data as a source; and whether only labelled
        items are drawn from it.
    """
    plan, task = experiment.plans[name], experiment.task
    source = all_items = None if train is None else experiment.source(train, plan)
    stages = arm_stages(experiment, plan, source)
    if name == CONTROL:
        stages = labels_only(stages, plan, task)
    elif plan.replaced_terms is not None:
        stages = with_terms(stages, plan, plan.replaced_terms)
    labelled = draws_labelled_items(stages)
    if train is not None and labelled:  # for as many steps as the others
        source = experiment.source(task.training_items(train), plan)
    return stages, source, all_items, labelled


def labels_only(stages: Sequence[Stage], plan: Plan, task: Task) -> list[Stage]:
    """Returns the stages of the control: all that is evaluated learns from labels, for as many steps."""
    terms = [term for reference in hard_references(plan) for term in task.hard_terms(reference)]
    return with_terms(stages, plan, terms, actors=control_actors(plan))


def with_terms(stages: Sequence[Stage], plan: Plan, terms: Sequence[Term], actors: Container[str] | None = None) -> list[Stage]:
    """Returns the stages with other terms, on the training data, for as many steps.

    A stage that trains nothing that the terms train, such as one of an assistant, is left out. What only some stages train is
    trained in all of them; snapshots and new weights stay where they are, those of a stage that is left out come with the next.

    Args:
        actors: those that take part; None: all.
    """
    taking_part = plan.actors if actors is None else actors
    found: list[Stage] = []
    left_out: list[Event] = []
    for stage in stages:
        entry, end = _generations(stage.on_enter, taking_part), _generations(stage.on_exit, taking_part)
        times = {
            name: update.repeat
            for update in stage.updates
            for pattern in update.trains
            for name in matching("trains", pattern, plan.actors)
        }
        here = [(term, learners) for term in terms if (learners := [one for one in _learners(term, plan) if one in times])]
        if not here:
            left_out += [*entry, *end]
            continue
        names = list(dict.fromkeys(name for _, learners in here for name in learners))
        repeat = max(times[name] for name in names)
        update = Update([term for term, _ in here], trains=names, repeat=repeat, fresh=repeat > 1)
        found.append(replace(stage, updates=[update], on_enter=[*left_out, *entry], on_exit=end))
        left_out = []
    if found and left_out:
        found[-1] = replace(found[-1], on_exit=[*found[-1].on_exit, *left_out])
    return found


def _generations(events: Sequence[Event], actors: Container[str]) -> list[Event]:
    """The events that begin a generation of these actors anew; a control trains all parameters in all stages."""
    return [event for event in events if isinstance(event, Snapshot | Reinitialise) and event.actor in actors]


def _learners(term: Term, plan: Plan) -> list[str]:
    """The actors on the student's side of a term."""
    return matching_actors("terms", term.student, STUDENT, plan.actors)


def hard_references(plan: Plan) -> list[str]:
    """The references of what is trained among the evaluated, in which averages stand for their originals."""
    texts = [text for evaluated in plan.evaluate.values() for text in references_of(evaluated)]
    found = []
    for text in texts:
        reference = Reference.parse(text, default=STUDENT, actors=plan.actors)
        for name in matching_actors("evaluate", text, STUDENT, plan.actors):
            found.append(str(replace(reference, actor=_original(name, plan))))
    return list(dict.fromkeys(found))


def control_actors(plan: Plan) -> set[str]:
    """The actors that take part in the control: what it trains, and averages of it."""
    learners = {_actor(reference, plan) for reference in hard_references(plan)}
    return learners | {
        name for name, actor in plan.actors.items() if actor.of is not None and _original(name, plan) in learners
    }


def _original(name: str, plan: Plan) -> str:
    while (of := plan.actors[name].of) is not None:
        name = of
    return name


def _actor(reference: str, plan: Plan) -> str:
    return Reference.parse(reference, default=STUDENT, actors=plan.actors).actor


def draws_labelled_items(stages: Sequence[Stage]) -> bool:
    """Whether all updates on the training data learn from labels alone, so that they need labelled items only."""
    terms = [term for stage in stages for update in stage.updates if update.source is None for term in update.terms]
    return bool(terms) and all(term.objective.needs_target and not term.objective.needs_teacher for term in terms)
