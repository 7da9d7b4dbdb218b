"""Checks of a plan against its task: what reads outputs has to suit what the models of the task output."""

from __future__ import annotations

from collections.abc import Iterator

from limbeck.core.model_io import LOGITS
from limbeck.core.references import Reference
from limbeck.core.teachers import Teacher
from limbeck.core.terms import Term
from limbeck.core.weighers import Weigher
from limbeck.data.sources import Synthesis
from limbeck.experiment.plan import STUDENT, Plan
from limbeck.experiment.plan_checks import updates_of
from limbeck.tasks import Task


def check_task(plan: Plan, task: Task) -> None:
    """Refuses objectives, teachers and weighers that read a softmax of outputs which are no logits of one class out of several.

    Raises:
        ValueError: the message names the term, or the result.
    """
    for field, term in _terms(plan):
        texts = (term.student,) if isinstance(term.student, str) else term.student
        if any(Reference.parse(text, default=STUDENT, actors=plan.actors).tap == LOGITS for text in texts):
            try:
                task.check_objective(term.objective.name)
            except ValueError as error:
                raise ValueError(f"{field}: {error}") from error
            if term.objective.reads_classes and not task.one_class:
                raise ValueError(
                    f"{field}: {term.objective.name} reads the softmax of {task.output_name}, of classes of which one is "
                    f"right, which {task.name} does not have; use one that reads none, as logit_mse, or disagreement by l1"
                )
            for name, part in _readers(term):
                _check_classes(f"{field}.{name}", part, task)
    for name, evaluated in plan.evaluate.items():
        if isinstance(evaluated, Teacher):
            _check_classes(f"evaluate.{name}", evaluated, task)


def _terms(plan: Plan) -> Iterator[tuple[str, Term]]:
    """The terms of all stages and of what makes their inputs, and those in place of them, each with its field."""
    for place, stage in enumerate(plan.stages):
        for field, update in updates_of(plan, place, stage):
            for number, term in enumerate(update.terms):
                yield f"{field}terms.{number}", term
            if isinstance(update.source, Synthesis):
                for number, term in enumerate(update.source.terms):
                    yield f"{field}source.terms.{number}", term
    for number, term in enumerate(plan.replaced_terms or ()):
        yield f"terms.{number}", term


def _readers(term: Term) -> Iterator[tuple[str, Teacher | Weigher]]:
    """The parts of a term that may read outputs, by their field."""
    if isinstance(term.teacher, Teacher):
        yield "teacher", term.teacher
    yield from term.weighers.items()


def _check_classes(field: str, part: Teacher | Weigher, task: Task) -> None:
    if part.reads_classes and not task.one_class:
        raise ValueError(
            f"{field}: {type(part).__name__} reads the softmax of {task.output_name}, of classes of which one is right, which "
            f"{task.name} does not have; use the mean of the outputs, fixed weights or a schedule"
        )
