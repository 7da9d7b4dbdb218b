"""The plan of an arm: actors, stages, training settings, and what of them is evaluated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from fnmatch import fnmatchcase
from typing import Any

from limbeck.core.actors import Actor, Role, frozen, trained
from limbeck.core.references import Reference
from limbeck.core.source import Source
from limbeck.core.teachers import Teacher, teacher
from limbeck.core.terms import Term
from limbeck.engine import Stage, Update
from limbeck.engine.stages import with_stage_actors
from limbeck.engine.training import TermFactory, Training
from limbeck.methods import hinton
from limbeck.tasks import Task
from limbeck.utils.argument_types import require, require_mapping, require_sequence
from limbeck.utils.registry import nearest_names

STUDENT, TEACHER, CONTROL, AVERAGE = "student", "teacher", "control", "average"
TERMS_EXAMPLE = "[Term(HardTargets()), Term(SoftTargets())]"
Evaluated = str | Teacher
"""What a result is of: a reference (`peers.a`, `student:exits.layer1`), or a combination of references such as an ensemble."""


def references_of(evaluated: Evaluated) -> tuple[str, ...]:
    """Returns the references that a result reads: itself, or those of an ensemble."""
    return tuple(evaluated.references) if isinstance(evaluated, Teacher) else (evaluated,)


@dataclass(frozen=True)
class Plan:
    """One arm of an experiment.

    Attributes:
        actors: by name. A module is copied for every training, a factory is called for it; a cache is a `CacheConfig`.
        stages: what is trained, in order.
        training: batch size, views, and the optimizer of stages without their own.
        evaluate: what is evaluated, by the name of the result. The first decides which state is kept and which seed is best.
        teacher: what students are compared with in the verdict; None: there is no teacher.
        replaced_terms: terms that take the place of those of all stages; None: the stages' own. For further controls.
        equal: what a control has as much of as what is distilled, "steps" or "compute".
    """

    actors: Mapping[str, Actor]
    stages: Sequence[Stage]
    training: Training
    evaluate: Mapping[str, Evaluated]
    teacher: Evaluated | None = None
    replaced_terms: Sequence[Term] | None = None
    equal: str = "steps"

    @property
    def terms(self) -> list[Term]:
        """The terms of all updates."""
        if self.replaced_terms is not None:
            return list(self.replaced_terms)
        return [term for stage in self.stages for term in stage.terms]

    @property
    def without_data(self) -> bool:
        """Whether no update reads data, but each one inputs that are made."""
        sources = [update.source for stage in self.stages for update in stage.updates]
        return all(isinstance(source, Source) and not source.reads_data for source in sources)

    @property
    def caches(self) -> dict[str, Any]:
        """The cache configurations of the actors that have one, by name."""
        return {name: actor.cache for name, actor in self.actors.items() if actor.cache is not None}


def make_plan(
    student: Any = None,
    teacher: Any = None,
    *,
    terms: TermFactory | Sequence[Term] | None = None,
    actors: Mapping[str, Any] | None = None,
    stages: Sequence[Stage] | None = None,
    evaluate: Mapping[str, Any] | None = None,
    training: Training | None = None,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    task: Task | None = None,
) -> Plan:
    """Returns the plan of one student and one teacher, or of any actors; see `Distillation`.

    Args:
        options: fields of the actors' `Actor`, by name.
        task: whose losses the default terms have; None: classification.

    Raises:
        ValueError: arguments exclude each other, or nothing is trained.
    """
    _check_types(terms, actors, stages, evaluate, training, task)
    training = training or Training()
    if terms is not None and stages:
        raise ValueError("give terms or stages, one of the two")
    given = dict(actors or {})
    for name, model in ((STUDENT, student), (TEACHER, teacher)):
        if model is not None and name in given:
            raise ValueError(f"actors: {name!r} is given as {name} too; keep one of the two")
    models = {name: model for name, model in ((STUDENT, student), (TEACHER, teacher)) if model is not None} | given
    if not models:
        raise ValueError("give a student, or actors")
    found = list(stages) if stages else [Stage([Update(as_list(terms, task))], training.length)]
    models = with_stage_actors(models, found)
    described = _with_roles(models, found, options or {})
    judged, compared = _evaluated(evaluate, described)
    return Plan(described, [replace(stage, actors={}) for stage in found], training, judged, compared)


def as_list(terms: TermFactory | Sequence[Term] | None, task: Task | None = None) -> list[Term]:
    """The terms; without any, Hinton's method for a task."""
    if terms is None:
        return hinton(task=task)
    found = terms() if callable(terms) else terms
    require_sequence("terms", found, Term, TERMS_EXAMPLE)
    return list(found)


def _check_types(terms: Any, actors: Any, stages: Any, evaluate: Any, training: Any, task: Any) -> None:
    """Refuses arguments of another type than documented, because the errors that they lead to would not name them."""
    if terms is not None and not callable(terms):
        require_sequence("terms", terms, Term, TERMS_EXAMPLE)
    if actors is not None:
        require_mapping("actors", actors, "{'peers.a': model}")
    if stages is not None:
        require_sequence("stages", stages, Stage, "[Stage([Update(terms)], steps(100))]")
    if evaluate is not None:
        require_mapping("evaluate", evaluate, "{'student': 'student'}")
        for name, one in evaluate.items():
            require(f"evaluate.{name}", one, str | Teacher | Mapping, "'student', 'peers.a' or Ensemble('peers.*')")
    for field, value, kind in (("training", training, Training), ("task", task, Task)):
        if value is not None:
            require(field, value, kind, f"{kind.__name__}(…)")


def _with_roles(
    models: Mapping[str, Any], stages: Sequence[Stage], options: Mapping[str, Mapping[str, Any]]
) -> dict[str, Actor]:
    """Makes actors of models: trained if an update trains them, else frozen. The teacher is always frozen."""
    learners = {name for stage in stages for update in stage.updates for name in update.trains}
    found = {}
    for name, model in models.items():
        if not isinstance(model, Actor):
            if not callable(model):
                raise ValueError(f"actors: {name!r} is {type(model).__name__}; expected a module, a builder or trained(…)")
            learns = name != TEACHER and any(fnmatchcase(name, pattern) for pattern in learners)
            model = trained(model) if learns else frozen(model)
        given = options.get(name, {})
        for field in given:
            if field not in (known := [one.name for one in fields(Actor)]):
                raise ValueError(f"{name}_options: unknown {field!r}; nearest: {', '.join(nearest_names(field, known))}")
        found[name] = replace(model, **given)
    return found


def _evaluated(
    evaluate: Mapping[str, Any] | None, actors: Mapping[str, Actor]
) -> tuple[dict[str, Evaluated], Evaluated | None]:
    """Returns what is evaluated, and the teacher of the verdict: the actor of this name, or the entry `teacher`."""
    compared: Evaluated | None = TEACHER if TEACHER in actors else None
    if evaluate is None:
        learners = [name for name, actor in actors.items() if actor.role is Role.TRAINED]
        if STUDENT in learners:
            return {STUDENT: STUDENT}, compared
        return {name: name for name in learners}, compared
    given = {name: teacher(value) if isinstance(value, Mapping) else value for name, value in evaluate.items()}
    compared = given.pop(TEACHER, compared)
    if isinstance(compared, str):
        compared = whole_reference(compared, actors)
    if not given:
        raise ValueError("evaluate: nothing is named besides the teacher; name what is trained, such as {student: student}")
    return given, compared


def whole_reference(text: str, actors: Mapping[str, Actor]) -> str:
    """The reference of a teacher with its actor: `exits.layer1` is `teacher:exits.layer1`."""
    return str(Reference.parse(text, default=TEACHER, actors=actors))
