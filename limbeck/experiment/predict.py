"""Predictions of all arms on the test set, and what the models cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from limbeck.core.actors import Actors
from limbeck.core.reference_module import module_of
from limbeck.data import FieldStorage, Items, evaluation_batches
from limbeck.engine.sharding import shard
from limbeck.evaluation import ModelCost, Predictions, measure_costs
from limbeck.evaluation.arms import parse_arm
from limbeck.experiment.checks import compares_with_teacher
from limbeck.experiment.experiment import Experiment, inference_device
from limbeck.experiment.plan import STUDENT, TEACHER, references_of
from limbeck.experiment.plan_checks import matching_actors
from limbeck.utils import distributed


def predict_arms(
    experiment: Experiment, models: Mapping[str, Sequence[nn.Module]], items: Mapping[str, Items]
) -> dict[str, Predictions]:
    """Returns the predictions of the models of each arm on the arm's items. The models are moved to the CPU afterwards.

    All processes of the run take part, and each gets all predictions.
    """
    task = experiment.task
    predictions = {}
    for arm, of_seeds in models.items():
        outputs = (outputs_of(experiment, model, items[arm]) for model in of_seeds)
        predictions[arm] = Predictions.of(task, outputs, items[arm])
    return predictions


def outputs_of(experiment: Experiment, model: nn.Module, items: Items) -> Tensor:
    """The outputs of a model, which runs on the device in shards if the training did, and is on the CPU afterwards."""
    training, task = experiment.plan.training, experiment.task
    device = inference_device(training.settings)
    sharded = training.settings.shard and distributed.world_size() > 1 and any(True for _ in model.parameters())
    placed = shard(model, device) if sharded else model.to(device)
    found = task.outputs(placed, items, batch_size=training.evaluation_batch, among_processes=True)
    model.cpu()
    return found


def cost_arms(models: Mapping[str, nn.Module], items: Mapping[str, Items], test: Items) -> dict[str, ModelCost]:
    """Returns the costs of one model of each arm. Models with the same inputs are measured in turns.

    Args:
        test: the test set; if it has fields, models may read different ones and are measured one by one.
    """
    examples = {arm: next(evaluation_batches(items[arm], 1)).inputs["default"] for arm in models}
    if not isinstance(test.storage, FieldStorage):
        return measure_costs(models, next(example for arm, example in examples.items() if arm != TEACHER))
    return {arm: cost for arm, model in models.items() for cost in measure_costs({arm: model}, examples[arm]).values()}


def measured_arms(models: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
    """The models whose cost is measured: the teacher and what is distilled; a control costs what its student does."""
    return {name: model for name, model in models.items() if parse_arm(name).arm in (TEACHER, STUDENT)}


def teacher_arm(experiment: Experiment, student: nn.Module, test: Items) -> dict[str, list[nn.Module]]:
    """The teacher that the verdict compares with, as an arm; none if there is none, or if it predicts something else.

    Args:
        student: a trained model of the first result.
    """
    plan = experiment.plan
    if plan.teacher is None:
        return {}
    names = matching_actors("evaluate.teacher", references_of(plan.teacher), TEACHER, plan.actors)
    actors = Actors(experiment.actors(plan, only=set(names)))
    teacher = module_of(plan.teacher, actors)
    return {TEACHER: [teacher]} if compares_with_teacher(experiment, teacher, student, test) else {}
