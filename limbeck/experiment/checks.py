"""Checks before a training: data, models, terms and folder fit together."""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from limbeck.core.actors import Actors
from limbeck.core.batch import Batch
from limbeck.core.criterion import Criterion
from limbeck.core.source import BatchPosition
from limbeck.core.taps.tap import Tap
from limbeck.data import Items
from limbeck.engine.training import Phase
from limbeck.evaluation import TermGraph, build_term_graph
from limbeck.experiment.experiment import Experiment
from limbeck.experiment.teacher_outputs import TeacherOutputs


def check_folder(experiment: Experiment) -> None:
    """Raises `ValueError` if the folder holds a run that is not to be resumed."""
    if experiment.folder is None or experiment.resume:
        return
    left = [*experiment.folder.glob("checkpoints/seed-*"), *(experiment.folder / name for name in ("student", "verdict.json"))]
    if any(path.exists() for path in left):
        raise ValueError(f"{experiment.folder} holds a run already; continue it with resume=True, or choose another folder")


def check_experiment(
    experiment: Experiment, train: Items, validation: Items | None, test: Items | None, *, seed: int, control: bool
) -> TermGraph:
    """Checks labels and classes, outputs of the models, taps, shapes, and names of frozen parts.

    Sets `input_names` and `teacher_outputs` of the experiment.

    Args:
        seed: of the student that is tried.
        control: whether a control is trained.

    Returns:
        How the terms connect the models.

    Raises:
        ValueError: something does not fit; the message has the values of both sides.
    """
    student, teacher = experiment.new_student(seed).cpu(), experiment.teacher.cpu()
    data = (train, *(phase.data for phase in experiment.phases if phase.data is not None))
    experiment.input_names = next((names for items in data if (names := items.storage.input_names)), ())
    judged = [items for items in (validation, test) if items is not None]
    experiment.task.prepare(teacher, train, judged, control=control)
    for name, items in (("training data", train), ("validation data", validation), ("test data", test)):
        if items is not None:
            items = items.align_classes(train.class_names, name)
            experiment.task.check(student, items.for_actor("student"), "student", name)
            experiment.task.check(teacher, items.for_actor("teacher"), "teacher", name)
    actors = Actors(experiment.actors(student, experiment.training))
    checked = [_check_phase(experiment, phase, train, actors, student, seed) for phase in experiment.phases]
    on_train = (criterion for phase, (criterion, _) in zip(experiment.phases, checked, strict=True) if phase.data is None)
    experiment.teacher_outputs = TeacherOutputs.read_by(on_train)  # the cache holds outputs for the training data only
    named = [(phase.name, criterion) for phase, (criterion, _) in zip(experiment.phases, checked, strict=True)]
    return build_term_graph(named, checked[-1][1])


def _check_phase(
    experiment: Experiment, phase: Phase, train: Items, actors: Actors, student: nn.Module, seed: int
) -> tuple[Criterion, Batch]:
    """Builds the criterion of a stage on one batch, and returns both."""
    items = train if phase.data is None else phase.data
    source = experiment.source(items, replace(experiment.training, prefetch=0))
    example = source.batch(BatchPosition(0, seed))
    criterion = Criterion(phase.terms(), actors=actors, trains=(phase.trains,))
    _check_tokens(criterion, source.items)
    criterion.build(example, samples=source.samples)
    criterion.probes.close()
    (phase.optimizer or experiment.training.optimizer).build(list(student.parameters()))
    for path in (*phase.freeze, *phase.unfreeze, *phase.lr_scale):
        Tap.parse(path).find(actors[phase.trains].model)
    return criterion, example


def _check_tokens(criterion: Criterion, items: Items) -> None:
    """Refuses to compare tokens one by one if student and teacher split the texts into different ones.

    Called before the dry run, whose message about shapes would not say why.
    """
    storage = items.storage
    if not storage.input_names or storage.aligned:
        return
    for term in criterion.unbound_terms:
        if term.objective.needs_teacher and any("T" in kind for kind in term.objective.expects):
            name, where = term.name or term.objective.name, storage.first_difference()
            raise ValueError(
                f"term {name!r} compares tokens one by one, and the tokenizers differ at {where}. "
                "Give both one tokenizer, cut the student's vocabulary without a size, or compare whole texts "
                "(soft_targets, embeddings)"
            )
