"""The verdict of an experiment: all arms are evaluated on the test set and compared."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from limbeck.data import Items
from limbeck.evaluation import MetricInfo, Verdict, build_verdict, choose_examples
from limbeck.evaluation.arms import INITIAL, ArmName, arm_folder, of_result
from limbeck.evaluation.test_data import test_data_fingerprint
from limbeck.experiment.arms import TrainedArm, best_row, models_by_arm, run_cost
from limbeck.experiment.early_exits import early_exit_curves, with_early_exits, with_mean_work
from limbeck.experiment.evaluated import items_of
from limbeck.experiment.experiment import Experiment, keeps_models
from limbeck.experiment.initial import initial_arms
from limbeck.experiment.plan import STUDENT, TEACHER
from limbeck.experiment.predict import cost_arms, measured_arms, predict_arms, teacher_arm
from limbeck.experiment.run_files import kept_exports, write_run
from limbeck.experiment.verdict_log import log_verdict
from limbeck.utils import distributed


@keeps_models
def evaluate_arms(
    experiment: Experiment, trained: Sequence[TrainedArm], test: Items, *, seeds: Sequence[int], **described: Any
) -> Verdict:
    """Returns the verdict, and writes it with the best models if the experiment has a folder.

    All processes of the run must call it. They share out the predictions; the first one does the rest.

    Args:
        test: readable by the models, with the classes of the training data.
        seeds: of the trainings.
        described: name, targets, term graph and shared items for the verdict.
    """
    began, task, plan = time.perf_counter(), experiment.task, experiment.plan
    task.add_evaluation(test)
    row, by_arm = best_row(trained, higher_is_better=task.higher_is_better), models_by_arm(trained, experiment.plans)
    first = next(iter(plan.evaluate))
    models = teacher_arm(experiment, by_arm[str(ArmName(first, STUDENT))][row], test) | by_arm
    items = _items_by_arm(experiment, test, models)
    models |= initial_arms(experiment, items, seeds)
    predictions = predict_arms(experiment, models, items)
    best = {name: of_seeds[min(row, len(of_seeds) - 1)] for name, of_seeds in models.items()}
    curves = early_exit_curves(experiment, models, items)

    def judge() -> Verdict:
        known, cost = items[str(ArmName(first, STUDENT))], run_cost(trained)
        verdict = build_verdict(
            predictions,
            task=task.name,
            metric=MetricInfo.of(task.metric),
            seeds=seeds,
            classes=known.class_names or (),
            model_costs=with_mean_work(cost_arms(measured_arms(best), items, test), curves),
            cost=cost.model_copy(update={"wall_s": round(cost.wall_s + time.perf_counter() - began, 2)}),
            examples=choose_examples(of_result(predictions, first), known, tuple(seeds), row),
            without_data=plan.without_data,
            **described,
        )
        made = [list(arm.made_inputs) for arm in trained if arm.name == STUDENT]
        noted = {"made_inputs": made[row], "test_data": test_data_fingerprint(known, verdict.items or 0)}
        verdict = with_early_exits(verdict, curves).model_copy(update=noted)
        if experiment.folder is not None:
            kept = {arm_folder(name, first): model for name, model in best.items() if name != TEACHER}
            exported = {result: best[str(ArmName(result, STUDENT))] for result in plan.evaluate}
            exported |= {TEACHER: best[TEACHER]} if TEACHER in best else {}
            verdict = verdict.model_copy(update={"exports": kept_exports(experiment.folder, exported)})
            write_run(experiment.folder, kept, known, predictions, verdict)
            log_verdict(experiment, verdict)
        return verdict

    return distributed.on_first_process(judge)


def _items_by_arm(experiment: Experiment, test: Items, models: Mapping[str, Sequence[nn.Module]]) -> dict[str, Items]:
    """The test items as each arm reads them."""
    plan, task = experiment.plan, experiment.task
    read = {result: task.evaluation_items(items_of(test, plan, of)) for result, of in plan.evaluate.items()}
    found = {str(ArmName(result, arm)): read[result] for result in plan.evaluate for arm in (*experiment.plans, INITIAL)}
    if TEACHER in models and plan.teacher is not None:
        found[TEACHER] = task.evaluation_items(items_of(test, plan, plan.teacher))
    return found
