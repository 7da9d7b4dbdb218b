"""Networks with early exits: their thresholds, chosen on validation data, and their curves for the verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.core.early_exit_module import EarlyExitModule
from limbeck.core.teachers import EarlyExit
from limbeck.data import Items, evaluation_batches
from limbeck.evaluation import Verdict
from limbeck.evaluation.arms import ArmName
from limbeck.evaluation.early_exit import EarlyExits, early_exits
from limbeck.evaluation.exit_thresholds import choose_thresholds
from limbeck.evaluation.model_cost import ModelCost, macs, macs_until
from limbeck.experiment.evaluated import items_of
from limbeck.experiment.experiment import Experiment
from limbeck.experiment.plan import STUDENT, Plan
from limbeck.experiment.predict import outputs_of
from limbeck.tasks import Task


class _AllExits(nn.Module):
    """The logits of all exits, `[B, K, C]`."""

    def __init__(self, module: EarlyExitModule) -> None:
        super().__init__()
        self.module = module

    def forward(self, inputs: Any = None, **fields: Any) -> Tensor:
        signals = self.module.exits(inputs if inputs is not None else fields)
        return torch.stack([signal for signal in signals if isinstance(signal, Tensor)], dim=1)


def early_exit_curves(
    experiment: Experiment, models: Mapping[str, Sequence[nn.Module]], items: Mapping[str, Items]
) -> dict[str, EarlyExits]:
    """The curve of each result that is an early exit.

    Args:
        models: of the seeds, by arm.
        items: the test items, by arm.
    """
    found = {}
    for result, evaluated in experiment.plan.evaluate.items():
        arm = str(ArmName(result, STUDENT))
        if isinstance(evaluated, EarlyExit):
            trained = [model for model in models[arm] if isinstance(model, EarlyExitModule)]
            found[result] = _curve(experiment, trained, items[arm])
    return found


def _curve(experiment: Experiment, models: Sequence[EarlyExitModule], items: Items) -> EarlyExits:
    task, model = experiment.task, models[0]
    logits = [_logits(experiment, each, items) for each in models]
    example = next(evaluation_batches(items, 1)).inputs["default"]
    common = model.early_exit.threshold
    return early_exits(
        logits,
        lambda outputs: _metric(task, outputs, items),
        exits=[member.name.rpartition(":")[2] for member in model.members],
        macs=_macs_until(model, example),
        plain_macs=macs(model.models[0], example),
        threshold=common
        if isinstance(common, int | float)
        else [each.early_exit.thresholds(len(each.members)) for each in models],
    )


def choose_exit_thresholds(experiment: Experiment, plan: Plan, models: Mapping[str, nn.Module], validation: Items) -> None:
    """Chooses the thresholds of each early exit that has a tolerance, and sets them in its module.

    Args:
        plan: of the arm.
        models: by result, those of one training.
    """
    for result, model in models.items():
        if isinstance(model, EarlyExitModule) and (tolerance := model.early_exit.tolerance) is not None:
            items = items_of(validation, plan, plan.evaluate[result]).labelled()
            assert isinstance(items.target, Tensor)
            reached = _macs_until(model, next(evaluation_batches(items, 1)).inputs["default"])
            logits = _logits(experiment, model, items)
            model.early_exit.threshold = choose_thresholds(logits, items.target, reached, tolerance)


def _logits(experiment: Experiment, model: EarlyExitModule, items: Items) -> Tensor:
    """Of all exits, `[K, N, C]`."""
    return outputs_of(experiment, _AllExits(model), items).transpose(0, 1)


def _macs_until(model: EarlyExitModule, example: Any) -> list[int]:
    return macs_until(_AllExits(model), model.exit_modules(), example)


def _metric(task: Task, outputs: Tensor, items: Items) -> float:
    return float(task.compute_metrics(outputs, items)[task.metric.name])


def with_mean_work(costs: Mapping[str, ModelCost], curves: Mapping[str, EarlyExits]) -> dict[str, ModelCost]:
    """The costs of the arms; the multiply-accumulates of an early exit are those of a mean test item, not of the first one."""
    work = {str(ArmName(name, STUDENT)): round(curve.chosen.work * curve.plain_macs) for name, curve in curves.items()}
    return {arm: replace(cost, macs=work[arm]) if arm in work else cost for arm, cost in costs.items()}


def with_early_exits(verdict: Verdict, curves: Mapping[str, EarlyExits]) -> Verdict:
    """The verdict with the curve of each result that is an early exit."""
    results = {
        name: result.model_copy(update={"early_exits": curves[name]}) if name in curves else result
        for name, result in verdict.results.items()
    }
    return verdict.model_copy(update={"results": results})
