"""Checks before a training: data, models, terms and folder fit together."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import nn

from limbeck.core.actors import Actors, Role, actor_inputs
from limbeck.core.batch import DEFAULT_VIEW, Batch
from limbeck.core.criterion import Criterion
from limbeck.core.model_io import LOGITS, preserve_modes
from limbeck.core.reference_module import module_of
from limbeck.core.references import Reference
from limbeck.core.source import BatchPosition, Source
from limbeck.core.taps import Probe
from limbeck.core.taps.tap import Tap
from limbeck.core.teachers import Teacher
from limbeck.core.terms import Term
from limbeck.data import Items
from limbeck.engine import Freeze, LearningRateScale, Stage, Unfreeze, Update
from limbeck.engine.freezing import require_trainable
from limbeck.engine.stages import resolve_stages
from limbeck.engine.trackers import check_trackers
from limbeck.evaluation import TermGraph, build_term_graph
from limbeck.experiment.arm_stages import arm_data
from limbeck.experiment.checks.data import check_range, warn_of_missing_classes
from limbeck.experiment.checks.guessing import warn_of_guessing
from limbeck.experiment.checks.made_shape import naming_shape
from limbeck.experiment.checks.merged_classes import check_merged_classes
from limbeck.experiment.checks.participation import Participation
from limbeck.experiment.checks.shared_items import SeenItems, check_shared, warn_of_shared_validation
from limbeck.experiment.checks.source_items import items_of_source
from limbeck.experiment.checks.tolerances import check_tolerances
from limbeck.experiment.checks.training_batches import check_training_batches
from limbeck.experiment.checks.training_outputs import check_training_outputs
from limbeck.experiment.checks.weighed_items import check_weighed_items
from limbeck.experiment.evaluated import evaluated_modules, expand_evaluated, items_of
from limbeck.experiment.experiment import Experiment, keeps_models
from limbeck.experiment.plan import CONTROL, STUDENT, TEACHER, Plan, references_of
from limbeck.experiment.plan_checks import check_training_data
from limbeck.experiment.run_files import warn_if_not_loadable
from limbeck.experiment.teacher_outputs import TeacherOutputs
from limbeck.models.adapters import merge_adapters
from limbeck.tasks import Classification
from limbeck.tasks.data_format import labels_remedy
from limbeck.tasks.undefined_metrics import warn_of_undefined
from limbeck.teacher_cache import check_cache_folder


def check_folder(experiment: Experiment) -> None:
    """Raises `ValueError` if the folder holds a run that is not to be resumed."""
    if experiment.folder is None or experiment.resume:
        return
    left = [*experiment.folder.glob("checkpoints/seed-*"), *(experiment.folder / name for name in ("student", "verdict.json"))]
    if any(path.exists() for path in left):
        raise ValueError(f"{experiment.folder} holds a run already; continue it with resume=True, or choose another folder")


@keeps_models
def check_experiment(
    experiment: Experiment, train: Items | None, validation: Items | None, test: Items | None, *, seed: int
) -> TermGraph | None:
    """Checks labels and classes, outputs of the models, taps, shapes, and names of frozen parts.

    Sets `input_names` and `teacher_outputs` of the experiment. Of experiments that share `checked`, what the terms have no
    part in is checked once.

    Args:
        seed: of the models that are tried.

    Returns:
        How the terms connect the models; None if no update reads data that there is, or data and models were checked before.

    Raises:
        ValueError: something does not fit; the message has the values of both sides.
    """
    plan = experiment.plan
    if train is None:
        replaced = [name for name, each in experiment.plans.items() if each.replaced_terms is not None]
        check_training_data(control=CONTROL in experiment.plans, replaced=replaced)
    own = (update.source for stage in plan.stages for update in stage.updates if isinstance(update.source, Items))
    data = (*(() if train is None else (train,)), *own)
    experiment.input_names = next((names for items in data if (names := items.storage.input_names)), ())
    actors = {name: Actors(experiment.actors(each, seed=seed)) for name, each in experiment.plans.items() if name != CONTROL}
    for actor in actors[STUDENT].values():
        actor.model.cpu()
    expanded = expand_evaluated(plan, actors[STUDENT]).evaluate
    for name, each in experiment.plans.items():
        experiment.plans[name] = replace(each, evaluate=expanded)
    for each in experiment.plans.values():
        _check_sharded_results(each, actors[STUDENT])
        check_tolerances(each, validation)
    for each in experiment.plans.values() if experiment.folder is not None else ():
        check_trackers(each.training.settings.trackers)
    for config in plan.caches.values():
        check_cache_folder(config)
    needs = _needs_labels(experiment), _needs_predictions(experiment)
    known = experiment.checked is not None and needs in experiment.checked
    _prepare_task(experiment, actors[STUDENT], train, validation, test)
    if not known:
        _check_models(experiment, actors[STUDENT], train, validation, test)
    taking_part = Participation()
    graphs = {
        name: _check_stages(experiment, name, each, train, seed, taking_part, draw=not known) for name, each in actors.items()
    }
    taking_part.warn(experiment.plans)
    for name, each in experiment.plans.items():
        stages, source, *_ = arm_data(experiment, name, train)
        trying = actors.get(name, actors[STUDENT])  # the control trains the students
        check_training_batches(trying, stages, source, each.training.settings, who=f"arm {name}", seed=seed)
    if not known:
        check_shared(SeenItems.of(experiment, train, validation), test, allowed=experiment.allow_shared_items)
    if experiment.checked is not None:
        experiment.checked.add(needs)
    return graphs[STUDENT]


def _check_sharded_results(plan: Plan, actors: Actors) -> None:
    """Refuses results that are read from a part of a model whose weights are sharded: they end its forward pass early."""
    for result, evaluated in plan.evaluate.items() if plan.training.settings.shard else ():
        for text in references_of(evaluated):
            reference = Reference.parse(text, default=STUDENT, actors=actors)
            if reference.tap != LOGITS or reference.variant is not None:
                raise ValueError(
                    f"evaluate.{result}: {text!r} is a part of a model, and shard: true evaluates whole models only; evaluate "
                    f"{reference.actor!r}, or set shard: false"
                )


def _prepare_task(
    experiment: Experiment, actors: Actors, train: Items | None, validation: Items | None, test: Items | None
) -> None:
    """Prepares the task, which may depend on the teacher and on which labels there are."""
    plan, task = experiment.plan, experiment.task
    check_merged_classes(plan, (train, validation, test))
    judged = [items for items in (validation, test) if items is not None]
    if train is None and not judged:
        return
    if train is not None and CONTROL in experiment.plans and task.needs_labels and not len(train.labelled()):
        result = next(iter(plan.evaluate))
        raise ValueError(
            f"training data: the {result} needs labels for its control, and there are none; set control: false, or: "
            f"{labels_remedy(task.data_format)}"
        )
    teacher = None if plan.teacher is None else module_of(plan.teacher, actors)
    task.prepare(teacher, train if train is not None else judged[0], judged, control=CONTROL in experiment.plans)


def _check_models(
    experiment: Experiment, actors: Actors, train: Items | None, validation: Items | None, test: Items | None
) -> None:
    """Checks what is evaluated, and the teacher, on all data."""
    plan, task = experiment.plan, experiment.task
    warn_of_shared_validation(experiment, train, validation)
    named = (("training data", train), ("validation data", validation), ("test data", test))
    first = next((items for _, items in named if items is not None), None)
    if first is None:
        return
    teacher = None if plan.teacher is None else module_of(plan.teacher, actors)
    modules = evaluated_modules(plan, actors, averages=False)
    if experiment.folder is not None:
        for result, module in modules.items():
            warn_if_not_loadable(merge_adapters(module), result)
    _check_evaluated_taps(experiment, actors, modules, first)
    for name, items in named:
        if items is None or (items is train and not _needs_labels(experiment)):
            continue
        items = items.align_classes(first.class_names, name, strict=first.has_classes)
        if name == "training data":
            warn_of_missing_classes(items)
        else:
            check_range(train, items, name)
            warn_of_undefined(task, items, first.classes, name)
        for result, module in modules.items():
            task.check(module, items_of(items, plan, plan.evaluate[result]), result, name)
        if teacher is not None and compares_with_teacher(experiment, teacher, next(iter(modules.values())), items):
            task.check(teacher, items_of(items, plan, plan.teacher), TEACHER, name)  # type: ignore[arg-type]


def _check_evaluated_taps(experiment: Experiment, actors: Actors, modules: Mapping[str, nn.Module], items: Items) -> None:
    """Refuses features as predictions: what a tap gives must be as wide as the output of its model, if that predicts."""
    plan, task = experiment.plan, experiment.task
    few = items.select(torch.arange(min(4, len(items))))
    for result, evaluated in plan.evaluate.items():
        if isinstance(evaluated, Teacher):
            continue
        reference = Reference.parse(evaluated, default=STUDENT, actors=actors)
        if reference.tap == LOGITS:
            continue
        own, read = module_of(replace(reference, tap=LOGITS), actors), items_of(few, plan, evaluated)
        try:
            expected, found = (task.outputs(module, read).shape for module in (own, modules[result]))
        except (RuntimeError, ValueError, TypeError, IndexError):
            continue  # the check of the task says what is wrong
        if expected != found:
            raise ValueError(
                f"evaluate.{result}: {evaluated!r} gives {tuple(found)}, and the model {tuple(expected)}: these are features; "
                "name an output that predicts, such as an exit"
            )


def _needs_labels(experiment: Experiment) -> bool:
    """Whether the training data needs labels: for the control, or for a term."""
    return CONTROL in experiment.plans or any(
        term.objective.needs_target for plan in experiment.plans.values() for term in plan.terms
    )


def _needs_predictions(experiment: Experiment) -> bool:
    """Whether a term reads the predictions of the one teacher."""
    plan = experiment.plan
    return isinstance(plan.teacher, str) and any(_reads_predictions(term, plan.teacher) for term in plan.terms)


def compares_with_teacher(experiment: Experiment, teacher: nn.Module, student: nn.Module, items: Items) -> bool:
    """Whether the verdict can compare with the teacher.

    It does if a term reads the teacher's predictions. A teacher that is only tapped for features need not predict what the
    student does: it is compared with if its outputs have the shape of the student's.
    """
    plan = experiment.plan
    if not isinstance(plan.teacher, str) or _needs_predictions(experiment):
        return True
    few = items.select(torch.arange(min(4, len(items))))
    result = next(iter(plan.evaluate.values()))
    try:
        theirs = experiment.task.outputs(teacher, items_of(few, plan, plan.teacher))
        ours = experiment.task.outputs(student, items_of(few, plan, result))
    except (RuntimeError, ValueError, TypeError, IndexError):
        return False
    return bool(theirs.shape == ours.shape and theirs.isfinite().all())


def _reads_predictions(term: Term, teacher: str) -> bool:
    """Whether a term compares with the outputs of the teacher, not only with its features."""
    if not term.objective.needs_teacher and not term.weighers:
        return False
    given: Any = term.student if term.teacher is None else getattr(term.teacher, "references", term.teacher)
    texts = (given,) if isinstance(given, str) else tuple(given)
    return bool({teacher, LOGITS, f"{teacher}:{LOGITS}", *((STUDENT,) if term.teacher is None else ())} & set(texts))


@keeps_models
def try_teachers(experiment: Experiment, items: Items | None) -> None:
    """Warns of teachers that do no better than guessing, before anybody learns from their predictions.

    Of several teachers these are the frozen ones that predict all classes of the data.
    """
    plan = experiment.plan
    if items is None:
        return
    alone = experiment.teacher if plan.teacher == TEACHER else None
    if alone is not None and any(_reads_predictions(term, TEACHER) for term in plan.terms):
        trained = TEACHER in experiment.trained_first
        own = items_of(items, plan, TEACHER)
        warn_of_guessing(experiment.task, _alone(experiment, TEACHER), own, "data", trained_here=trained)
    for name in _members(plan) if isinstance(experiment.task, Classification) else []:
        model, own = _alone(experiment, name), items_of(items, plan, name)
        if experiment.task.outputs(model, own.select(torch.arange(1))).shape[-1] == items.classes:
            trained = name in experiment.trained_first
            warn_of_guessing(experiment.task, model, own, "data", f"teacher {name!r}", trained_here=trained)


def _alone(experiment: Experiment, name: str) -> nn.Module:
    """A frozen actor as a module that returns the output which its terms read."""
    return module_of(name, experiment.actors(experiment.plan, only={name}))


def _members(plan: Plan) -> list[str]:
    """The frozen actors other than the teacher whose outputs a term compares with as one of several."""
    given = [term.teacher for term in plan.terms if term.teacher is not None and getattr(term.teacher, "classes", None) is None]
    several: list[Any] = [getattr(teacher, "references", teacher) for teacher in given]
    texts = [text for found in several for text in ((found,) if isinstance(found, str) else found)]
    frozen = [name for name, actor in plan.actors.items() if actor.role is Role.FROZEN and name != TEACHER]
    return [name for name in frozen if any(fnmatchcase(name, text) for text in texts)]


def _check_stages(
    experiment: Experiment,
    name: str,
    actors: Actors,
    train: Items | None,
    seed: int,
    taking_part: Participation,
    *,
    draw: bool,
) -> TermGraph | None:
    """Builds every criterion of an arm on one batch; of the distilled arm sets what the terms read of frozen actors.

    Returns their graph if it is to be drawn.
    """
    plan = experiment.plans[name]
    source = None if train is None else experiment.source(train, plan, ahead=False)
    checked = [
        (stage, update, *_check_update(experiment, plan, stage, update, actors, source, seed))
        for stage in resolve_stages(plan.stages, actors)
        for update in stage.updates
    ]
    for _, update, criterion, _, used in checked:
        taking_part.add(update, criterion, used)
    if name == STUDENT:
        on_train = [criterion for _, update, criterion, *_ in checked if update.source is None]
        frozen = [each for each, actor in actors.items() if actor.role is Role.FROZEN]
        experiment.teacher_outputs = {each: TeacherOutputs.read_by(on_train, each) for each in frozen}
        if TEACHER in frozen and len(on_train) == len(checked):
            _warn_of_unread_teacher(on_train)
    if not draw:
        return None
    example = _as_called(*checked[-1][2:4])
    criteria = [(stage.name, criterion) for stage, _, criterion, _, _ in checked]
    of_sources = {
        f"{stage.name}: {maker}": criterion for stage, *_, source in checked for maker, criterion in source.criteria.items()
    }
    return build_term_graph([*criteria, *of_sources.items()], example)


def _warn_of_unread_teacher(criteria: Sequence[Criterion]) -> None:
    read = {reference.actor for criterion in criteria for term in criterion.terms for reference in term.references}
    if TEACHER not in read:
        warnings.warn(
            f"{TEACHER}: no term reads it, so that the student learns nothing from it, and it is only evaluated beside the "
            "student; add a term such as soft_targets, or leave the teacher out",
            stacklevel=2,
        )


def _as_called(criterion: Criterion, example: Batch) -> Batch:
    """The batch with the inputs that student and teacher are called with: what a generator makes of it, if there is one."""
    name = criterion.plan.generator
    if name is None:
        return example
    actor = criterion.actors[name]
    inputs = actor_inputs(actor, name, example.inputs[DEFAULT_VIEW])
    with torch.no_grad(), preserve_modes(actor.model), Probe(actor.model.eval(), [LOGITS], output=actor.output) as probe:
        return replace(example, inputs={DEFAULT_VIEW: probe(inputs)[LOGITS]})


def _check_update(
    experiment: Experiment, plan: Plan, stage: Stage, update: Update, actors: Actors, train: Source | None, seed: int
) -> tuple[Criterion, Batch, Source]:
    """Builds the criterion of an update on one batch, and returns both with the source of the batch."""
    source = train if update.source is None else experiment.fresh_source(update.source, plan, ahead=False)
    if source is None:
        raise ValueError("an update names no source and there is no training data; give it one (source=…), or call fit(train)")
    with naming_shape(stage.name, source, actors):
        source.bind({name: actor.model for name, actor in actors.items()})
        example = source.batch(BatchPosition(0, seed))
    criterion = Criterion(update.terms, actors=actors, trains=update.trains, generator=source.generator)
    data = list(items_of_source(source))
    for items in data:
        _check_tokens(criterion, items)
    with naming_shape(stage.name, source, actors):
        criterion.build(example, samples=source.samples)
    check_training_outputs(criterion, update.trains, example)
    criterion.probes.close()
    for items in data:
        check_weighed_items(criterion, items, example.extras)
    require_trainable(actors, update.trains)
    optimizer = update.optimizer or stage.optimizer or plan.training.optimizer
    optimizer.build([parameter for name in update.trains for parameter in actors[name].model.parameters()])
    for name, path in _event_paths(stage):
        Tap.parse(path).find(actors[name].model)
    return criterion, example, source


def _event_paths(stage: Stage) -> Iterator[tuple[str, str]]:
    """The modules that the events of a stage name, with their actor."""
    for event in (*stage.on_enter, *stage.on_exit):
        if isinstance(event, Freeze | Unfreeze | LearningRateScale):
            yield from ((event.actor, path) for path in event.modules or ("",))


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
