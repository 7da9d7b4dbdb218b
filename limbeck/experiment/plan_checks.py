"""Checks of a plan that need neither data nor models: the names in it, lengths, and what takes part in which arm."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase

import torch

from limbeck.core.actors import Actor, Role, check_weights
from limbeck.core.model_io import LOGITS
from limbeck.core.references import Reference
from limbeck.core.source import Source
from limbeck.core.teachers import PastPredictions, Teacher
from limbeck.core.terms import Term
from limbeck.engine import Freeze, Snapshot, Stage, Update
from limbeck.engine.source_checks import check_actors, check_length
from limbeck.experiment.plan import CONTROL, STUDENT, TEACHER, Evaluated, Plan, references_of
from limbeck.teacher_cache.cache_config import AUTO
from limbeck.utils.folder_names import require_folder_name
from limbeck.utils.registry import nearest_names


def check_plan(plan: Plan, *, data: bool = True) -> None:
    """Checks names, roles, patterns, sources and lengths.

    Args:
        data: whether the run has training data.

    Raises:
        ValueError: something does not fit; the message names the field, its value and a remedy.
    """
    for name in plan.actors:
        if not re.fullmatch(r"[\w.\-]+", name):
            raise ValueError(f"actors: {name!r} cannot be named in references; use letters, digits, '_', '-' and '.'")
    for field, found in (("actors", list(plan.actors)), ("evaluate", list(plan.evaluate))):
        for name in found:
            require_folder_name(name, field)
    _check_copies(plan.actors)
    check_weights(plan.actors)  # trainings copy each model on its own, which would separate them without a word
    for name, actor in plan.actors.items():
        if isinstance(actor.module, torch.jit.ScriptModule):
            raise ValueError(
                f"actors: {name!r} is a TorchScript module, which takes no hooks; hand over the torch.nn.Module it was made of"
            )
    for place, stage in enumerate(plan.stages):
        _check_events(f"stages.{place}", stage, plan.actors)
        for field, update in updates_of(plan, place, stage):
            _check_learners(field, update, plan.actors)
            _check_source(field, update, stage, plan.actors, data=data)
            _check_overlap(field, update, plan)
            for number, term in enumerate(update.terms):
                check_term(f"{field}terms.{number} ({term.name or term.objective.name})", term, plan.actors)
    for number, term in enumerate(plan.replaced_terms or ()):
        check_term(f"terms.{number} ({term.name or term.objective.name})", term, plan.actors)
    for name, evaluated in [*plan.evaluate.items(), *([] if plan.teacher is None else [(TEACHER, plan.teacher)])]:
        if not re.fullmatch(r"\w[\w.+-]*", name):
            raise ValueError(f"evaluate: {name!r} names folders and files; use letters, digits, '.', '-', '_' and '+'")
        _check_evaluated(f"evaluate.{name}", evaluated, plan.actors)
    if plan.teacher is not None:
        _check_compared(plan.teacher, plan.actors)
    unset = plan.evaluate == {STUDENT: STUDENT}  # the default, also where stages train only other actors
    if not unset and not any(learns(one, plan.actors, plan.stages) for one in plan.evaluate.values()):
        names = ", ".join(plan.evaluate)
        raise ValueError(f"evaluate: nothing trains {names}; name what an update trains, or an average or snapshot of it")
    if CONTROL in plan.evaluate:
        raise ValueError(f"evaluate: {CONTROL!r} is what the arm on labels is called; choose another name for the result")
    _check_caches(plan)


def _check_caches(plan: Plan) -> None:
    """All caches hold the same views of the items, because one batch is read from all of them; each has its own folder."""
    (first, own), *others = list(plan.caches.items()) or [("", None)]
    if plan.training.overlap and plan.caches:
        raise ValueError(
            f"training.overlap: each item is shown twice an epoch, which the cache of {first!r} has no views for; "
            "leave out one of the two"
        )
    if own is not None and own.refresh and own.view_count(plan.training.views) == 1:
        raise ValueError(
            f"cache: refresh of {first!r} is {own.refresh:g}, and without training.views all views of an item are the same; "
            "leave refresh out, or give views"
        )
    for name, config in others:
        if config.path == own.path != AUTO:
            raise ValueError(f"cache: path is {str(own.path)!r} for {first!r} and for {name!r}; give each a folder of its own")
        for field in ("views", "refresh", "view_seed"):
            values = [getattr(each, field) for each in (own, config)]
            if values[0] != values[1]:
                raise ValueError(
                    f"cache: {field} of {first!r} is {values[0]} and of {name!r} {values[1]}; give both the same, because a "
                    "batch is read from all caches"
                )


def check_training_data(*, control: bool, replaced: Sequence[str]) -> None:
    """Refuses the arms of a run without training data that would need it.

    Args:
        control: whether there is a control on labels.
        replaced: names of further controls with terms in place of those of all stages.

    Raises:
        ValueError: there is one; the message names the field and a remedy.
    """
    if control:
        raise ValueError(
            "control: it learns from the labels of the training data, and there is none; set control: false, or give data.train"
        )
    for name in replaced:
        raise ValueError(
            f"controls.{name}.terms: they read the training data, and there is none; give stages whose updates name a source"
        )


def updates_of(plan: Plan, place: int, stage: Stage) -> Iterator[tuple[str, Update]]:
    """The updates of a stage with their field, as a recipe writes it; no field for the only update of a plan."""
    if len(plan.stages) == len(stage.updates) == 1:
        yield "", stage.updates[0]
        return
    for number, update in enumerate(stage.updates):
        inner = f"updates.{number}." if len(stage.updates) > 1 else ""
        yield f"stages.{place}.{inner}", update


def matching(field: str, pattern: str, actors: Mapping[str, Actor]) -> list[str]:
    """The names that a pattern matches; raises an error that offers the nearest if there are none."""
    found = [name for name in actors if fnmatchcase(name, pattern)] if "*" in pattern else [n for n in actors if n == pattern]
    if not found:
        what = "no actor matches" if "*" in pattern else "there is no actor"
        nearest = ", ".join(nearest_names(pattern, list(actors)))
        example = pattern.replace("*", "a")
        raise ValueError(f"{field}: {what} {pattern!r}; nearest: {nearest}; or add it, actors: {{{example}: {{model: …}}}}")
    return found


def _check_copies(actors: Mapping[str, Actor]) -> None:
    """Averages and snapshots copy an actor, in the end one that has weights of its own."""
    for name, actor in actors.items():
        path = [name]
        while actor.of is not None:
            if actor.of in path:
                circle = " → ".join([*path, actor.of])
                raise ValueError(f"actors.{name}: it copies itself ({circle}); let one of them copy a model of its own")
            path.append(actor.of)
            actor = actors[matching(f"actors.{path[-2]}", actor.of, actors)[0]]


def _check_events(field: str, stage: Stage, actors: Mapping[str, Actor]) -> None:
    """Events name actors that they can change: a run would meet them only after the stages before."""
    for event in (*stage.on_enter, *stage.on_exit):
        place = f"{field}: {type(event).__name__}"
        if event.actor not in actors:
            offer = ", ".join(nearest_names(event.actor, list(actors)))
            raise ValueError(f"{place}: there is no actor {event.actor!r}; nearest: {offer}")
        actor = actors[event.actor]
        if isinstance(event, Snapshot):
            if actor.of is None:
                raise ValueError(f"{place}: {event.actor!r} copies no other actor; make it snapshot(…) or average(…)")
        elif actor.role is not Role.TRAINED and not isinstance(event, Freeze):
            raise ValueError(
                f"{place}: {event.actor!r} is {describe_role(actor.role)} and keeps its weights; name a trained actor"
            )


def _check_learners(field: str, update: Update, actors: Mapping[str, Actor]) -> None:
    for pattern in update.trains:
        for name in matching(f"{field}trains", pattern, actors):
            if (role := actors[name].role) is not Role.TRAINED:
                learners = [other for other, actor in actors.items() if actor.role is Role.TRAINED]
                offer = f"; train {', '.join(learners)}" if learners else "; make it trained(…)"
                raise ValueError(f"{field}trains: {name!r} is {describe_role(role)} and keeps its weights{offer}")


def describe_role(role: Role) -> str:
    return {Role.AVERAGE: "an average", Role.SNAPSHOT: "a snapshot"}.get(role, str(role))


def _check_source(field: str, update: Update, stage: Stage, actors: Mapping[str, Actor], *, data: bool) -> None:
    if update.source is None and not data:
        raise ValueError(f"{field}source: it names none, and there is no training data; name a source, or give data.train")
    if isinstance(update.source, Source):
        check_actors(update.source, list(actors), f"{field}source".removesuffix("."))
    used = [each.source for each in stage.updates]
    if all(isinstance(each, Source) for each in used):
        check_length(stage, used, f"{field}epochs")


def check_term(field: str, term: Term, actors: Mapping[str, Actor]) -> None:
    """Checks the actors that a term names, and that a pattern leaves it a teacher."""
    own: list[str] = []
    if term.student != "auto":
        own = matching_actors(field, term.student, STUDENT, actors)
    for reference in (text for part in term.weighers.values() for text in part.references):
        matching_actors(field, reference, STUDENT, actors)
    if isinstance(term.teacher, Teacher):
        _check_peers(field, term.teacher.references, own, actors, with_own=term.teacher.own)
        _check_cohort(field, term, own, actors)
    elif term.objective.needs_teacher and term.teacher is not None and term.teacher != "auto":
        assert not isinstance(term.teacher, Mapping)
        texts = (term.teacher,) if isinstance(term.teacher, str) else tuple(term.teacher)
        _check_peers(field, texts, own, actors, with_own=term.own)
    elif term.objective.needs_teacher and TEACHER not in actors:
        offer = f"name one of {', '.join(actors)} (teacher: …)"
        raise ValueError(f"{field}: it needs a teacher, and there is no actor {TEACHER!r}; {offer}")


def _check_overlap(field: str, update: Update, plan: Plan) -> None:
    """Refuses predictions of the step before where no item is in two steps in a row."""
    for number, term in enumerate(update.terms):
        within = term.teacher.within if isinstance(term.teacher, PastPredictions) else None
        if within == 1 and update.source is None and not plan.training.overlap:
            raise ValueError(
                f"{field}terms.{number} ({term.name or term.objective.name}): it learns from predictions of the step before "
                "(within: 1), and no item is in two batches in a row; set training: {overlap: true}"
            )


def _check_cohort(field: str, term: Term, own: Sequence[str], actors: Mapping[str, Actor]) -> None:
    """Refuses a target that the student alone makes of its own output, from which there is nothing to learn."""
    assert isinstance(term.teacher, Teacher)
    found = [Reference.parse(text, default=TEACHER, actors=actors) for text in term.teacher.references]
    if not term.teacher.own or not any("*" in reference.actor for reference in found):
        return
    if any(reference.variant or reference.tap != LOGITS for reference in found):
        return  # other signals of the student may teach it
    names = {name for reference in found for name in matching(field, reference.actor, actors)}
    if len(names) == 1 and names == set(own):
        raise _cohort_of_one(field, " ".join(term.teacher.references), own[0])


def _cohort_of_one(field: str, pattern: str, student: str) -> ValueError:
    return ValueError(
        f"{field}: teacher: {pattern!r} matches only {student!r}, the student itself, a cohort of one, which has nobody to "
        "learn from; add a second actor that it matches"
    )


def _check_peers(field: str, texts: Sequence[str], own: Sequence[str], actors: Mapping[str, Actor], *, with_own: bool) -> None:
    for text in texts:
        reference = Reference.parse(text, default=TEACHER, actors=actors)
        names = matching(field, reference.actor, actors)
        inner = "*" in (reference.variant or "") or "*" in reference.tap  # an actor's exits may teach each other
        if "*" not in reference.actor or with_own or inner:
            continue
        for student in own:
            if names == [student]:
                raise _cohort_of_one(field, text, student)


def matching_actors(field: str, texts: str | Sequence[str], default: str, actors: Mapping[str, Actor]) -> list[str]:
    """The names of the actors that references name."""
    found = []
    for text in (texts,) if isinstance(texts, str) else texts:
        found += matching(field, Reference.parse(text, default=default, actors=actors).actor, actors)
    return list(dict.fromkeys(found))


def _check_evaluated(field: str, evaluated: Evaluated, actors: Mapping[str, Actor]) -> None:
    texts = references_of(evaluated)
    if isinstance(evaluated, Teacher) and not texts:
        raise ValueError(f"{field}: {type(evaluated).__name__} gives no predictions of its own; name an actor or an ensemble")
    for text in texts:
        matching_actors(field, text, STUDENT, actors)


def _check_compared(teacher: Evaluated, actors: Mapping[str, Actor]) -> None:
    """The verdict compares the results of all seeds with one teacher, which no training changes."""
    for name in matching_actors("evaluate.teacher", references_of(teacher), TEACHER, actors):
        if (role := actors[name].role) is not Role.FROZEN:
            raise ValueError(
                f"evaluate.teacher: {name!r} is {describe_role(role)}, so that each seed has its own, and the verdict compares "
                f"all with one teacher; name frozen actors, or make it a result: evaluate: {{other: {name}}}"
            )


def learns(evaluated: Evaluated, actors: Mapping[str, Actor], stages: Sequence[Stage]) -> bool:
    """Whether a training changes what is evaluated: an update trains one of its actors, or the original of one."""
    patterns = [pattern for stage in stages for update in stage.updates for pattern in update.trains]
    texts = references_of(evaluated)
    for name in matching_actors("evaluate", texts, STUDENT, actors):
        while (of := actors[name].of) is not None:
            name = of
        if any(fnmatchcase(name, pattern) for pattern in patterns):
            return True
    return False


def check_control(name: str, plan: Plan) -> None:
    """Refuses a further control that learns from a teacher on the run's data: its gain would compare two methods."""
    fields = [
        (f"{field}terms", update.terms, update.source)
        for place, stage in enumerate(plan.stages)
        for field, update in updates_of(plan, place, stage)
    ]
    if plan.replaced_terms is not None:
        fields = [("terms", plan.replaced_terms, None)]
    for field, terms, source in fields:
        for term in terms if source is None else ():
            if frozen := frozen_teachers(term, plan.actors):
                raise ValueError(
                    f"controls.{name}.{field}: {term.name or term.objective.name} learns from {frozen[0]!r}, and a control "
                    "learns without a teacher; compare methods with: limbeck compare"
                )


def frozen_teachers(term: Term, actors: Mapping[str, Actor]) -> list[str]:
    """The frozen actors from which a term learns."""
    if isinstance(term.teacher, Teacher):
        texts: Sequence[str] = term.teacher.references
    elif not term.objective.needs_teacher:
        return []
    else:
        assert not isinstance(term.teacher, Mapping)
        texts = (TEACHER,) if term.teacher is None else (term.teacher,) if isinstance(term.teacher, str) else term.teacher
    names = matching_actors("teacher", texts, TEACHER, actors)
    return [name for name in names if actors[name].role is Role.FROZEN]
