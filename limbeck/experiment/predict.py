"""Predictions of all arms on the test set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import nn

from limbeck.data import Items
from limbeck.evaluation import Predictions
from limbeck.experiment.experiment import Experiment, inference_device


def predict_arms(
    experiment: Experiment, models: Mapping[str, Sequence[nn.Module]], items: Mapping[str, Items]
) -> dict[str, Predictions]:
    """Returns the predictions of the models of each arm on the arm's items. The models are moved to the CPU afterwards."""
    task, device = experiment.task, inference_device(experiment.training.settings)
    predictions = {}
    for arm, of_seeds in models.items():
        outputs = []
        for model in of_seeds:
            outputs.append(task.outputs(model.to(device), items[arm]))
            model.cpu()
        predictions[arm] = Predictions(**task.to_predictions(outputs, items[arm]))
    return predictions
