"""The arms of an experiment: what is distilled, the control trained on labels only, and further controls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from limbeck.core.actors import Actors
from limbeck.data import Dataset, Items
from limbeck.engine import Run, Stage, Validation
from limbeck.evaluation import RunCost
from limbeck.evaluation.arms import ArmName
from limbeck.evaluation.made_inputs import MadeInput
from limbeck.experiment.arm_stages import arm_data, arm_stages, control_actors
from limbeck.experiment.caching import open_caches
from limbeck.experiment.checks import warn_of_batch_statistics
from limbeck.experiment.compute import with_equal_compute
from limbeck.experiment.early_exits import choose_exit_thresholds
from limbeck.experiment.evaluated import evaluated_actors, evaluated_modules, items_of, trained_models
from limbeck.experiment.experiment import Experiment, keeps_models
from limbeck.experiment.made_inputs import made_inputs_of
from limbeck.experiment.plan import CONTROL, STUDENT, Plan
from limbeck.experiment.plan_checks import learns
from limbeck.experiment.trained_results import trains_result, unread_parameters


@dataclass(frozen=True)
class TrainedArm:
    """One training of an experiment.

    Attributes:
        name: `student`, `control`, or that of a further control.
        models: by result: best on validation data, or the last without any; on the CPU, in evaluation mode.
        score: the validation metric of the first result; 0 without validation data.
        run: with the clock.
        cache_folders: of the actors whose outputs were cached, by name.
        made_inputs: images that what is distilled has made without data.
    """

    name: str
    models: Mapping[str, nn.Module]
    score: float
    run: Run
    cache_folders: Mapping[str, Path]
    made_inputs: Sequence[MadeInput] = ()

    @property
    def model(self) -> nn.Module:
        """The model of the first result."""
        return next(iter(self.models.values()))


@keeps_models
def train_arm(experiment: Experiment, name: str, seed: int, train: Items | None, validation: Items | None) -> TrainedArm:
    """Trains one arm for one seed."""
    plan, task, folder = experiment.plans[name], experiment.task, experiment.folder
    stages, source, all_items, labelled = arm_data(experiment, name, train)
    if plan.equal == "compute":
        distilled = experiment.plan, arm_stages(experiment, experiment.plan, all_items)
        stages = with_equal_compute(experiment, (plan, stages), distilled, all_items)
    cached = name == STUDENT and not labelled  # further controls read no teacher on the training data
    with ExitStack() as stack:
        caches = stack.enter_context(open_caches(experiment, plan, all_items)) if cached and all_items is not None else {}
        only = control_actors(plan) if name == CONTROL else None
        opened = {actor: cache.cached for actor, cache in caches.items()}
        actors = Actors(experiment.actors(plan, seed=seed, only=only, caches=opened))
        run = Run(
            actors,
            stages,
            source=source,
            seed=seed,
            settings=experiment.settings_of(plan, seed=seed, arm=name),
            validation=_validation(experiment, plan, actors, validation, _epoch(all_items, stages), all_items),
            folder=folder and folder / "checkpoints" / f"seed-{seed}-{name}",
            log=folder and folder / "log.jsonl",
        )
        run.untrained.expect(unread_parameters(name, plan, actors))
        run.fit(resume=experiment.resume)
        if validation is not None:
            run.load_best()
        models = trained_models(plan, run, all_items)
        for result, model in models.items():
            read = None if train is None else items_of(train, plan, plan.evaluate[result])
            if name == CONTROL and read is not None:
                task.finish_control(model, read)
            warn_of_batch_statistics(task, model, read, f"{result}, arm {name}, seed {seed}")
        if validation is not None:
            choose_exit_thresholds(experiment, plan, models, validation)
    run.clock.teacher_items += sum(cached.completed for cached in set(opened.values()))
    folders = {actor: cache.folder for actor, cache in caches.items()}
    made = made_inputs_of(run, train) if name == STUDENT else []
    return TrainedArm(name, models, run.clock.best or 0.0, run, folders, made)


def _epoch(source: Dataset | None, stages: Sequence[Stage]) -> int:
    """The steps of an epoch; without a data set, of a twentieth of the training."""
    if source is None:
        return max(1, int(sum(stage.length.count for stage in stages)) // 20)
    return source.steps_per_epoch or 1


def _validation(
    experiment: Experiment, plan: Plan, actors: Actors, items: Items | None, epoch: int, source: Dataset | None
) -> Validation | None:
    """How the best state is chosen: by the metric of the first result that learns. That of others is logged by their name."""
    if items is None:
        return None
    task, training = experiment.task, plan.training
    results = sorted(plan.evaluate, key=lambda name: not learns(plan.evaluate[name], actors, plan.stages))

    def evaluate(_: object) -> Mapping[str, float]:
        found: dict[str, float] = {}
        modules = evaluated_modules(plan, actors, source)
        for result in results:
            read = items_of(items, plan, plan.evaluate[result])
            outputs = task.outputs(
                modules[result],
                read,
                batch_size=training.evaluation_batch,
                autocast=training.settings.autocast,
                among_processes=True,
            )
            metrics = task.compute_metrics(outputs, read)
            found |= {f"{result}.{name}" if found else name: value for name, value in metrics.items()}
        return found

    names = evaluated_actors(plan, actors)
    return Validation(
        evaluate,
        actor=names[0] if len(names) == 1 else names,
        metric=task.metric.name,
        higher_is_better=task.higher_is_better,
        every=epoch * training.validate_every,
        patience=training.patience,
        decides=evaluated_actors(plan, actors, results[:1]),
    )


def models_by_arm(trained: Sequence[TrainedArm], plans: Mapping[str, Plan]) -> dict[str, list[nn.Module]]:
    """The trained models by arm, `[RESULT/]ARM`, in the order of the trainings; without results that a control does not train.

    Args:
        plans: by the name of the arm.
    """
    found: dict[str, list[nn.Module]] = {}
    for result, evaluated in plans[STUDENT].evaluate.items():
        for arm in trained:
            if not trains_result(arm.name, plans[arm.name], evaluated, arm.run.actors):
                continue
            found.setdefault(str(ArmName(result, arm.name)), []).append(arm.models[result])
    return found


def best_row(trained: Sequence[TrainedArm], *, higher_is_better: bool) -> int:
    """The seed, counted from 0, whose distilled models did best on validation data; the first one without any."""
    scores = [arm.score for arm in trained if arm.name == STUDENT]
    best = max if higher_is_better else min
    return best(range(len(scores)), key=lambda row: scores[row])


def run_cost(trained: Sequence[TrainedArm]) -> RunCost:
    """What the trainings took."""
    return RunCost(
        student_steps=sum(arm.run.clock.updates for arm in trained if arm.name == STUDENT),
        teacher_items=sum(arm.run.clock.teacher_items for arm in trained),
        wall_s=sum(arm.run.clock.wall_s for arm in trained),
    )
