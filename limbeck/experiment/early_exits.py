"""The curves of networks with early exits, for the verdict."""

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
from limbeck.evaluation.model_cost import ModelCost, macs, macs_until
from limbeck.experiment.experiment import Experiment
from limbeck.experiment.plan import STUDENT
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
            found[result] = _curve(experiment, trained, items[arm], evaluated.threshold)
    return found


def _curve(experiment: Experiment, models: Sequence[EarlyExitModule], items: Items, threshold: float) -> EarlyExits:
    task = experiment.task
    logits = [outputs_of(experiment, _AllExits(model), items).transpose(0, 1) for model in models]
    example = next(evaluation_batches(items, 1)).inputs["default"]
    reached = macs_until(_AllExits(models[0]), models[0].exit_modules(), example)
    return early_exits(
        logits,
        lambda outputs: _metric(task, outputs, items),
        exits=[member.name.rpartition(":")[2] for member in models[0].members],
        macs=reached,
        plain_macs=macs(models[0].models[0], example),
        threshold=threshold,
    )


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
