"""Regression: its metrics, its predictions, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import pearsonr, spearmanr
from torch import nn

from limbeck.data import Items
from limbeck.tasks import Regression

VALUES = torch.randn(30, 1, generator=torch.Generator().manual_seed(0))
TRUTHS = VALUES[:, 0] + torch.randn(30, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("metric", "reference"),
    [("pearson", lambda x, y: pearsonr(x, y)[0]), ("spearman", lambda x, y: spearmanr(x, y)[0]), ("mean_squared_error", None)],
)
def test_metrics_are_those_of_scipy_over_the_labelled_items(metric, reference) -> None:
    some = TRUTHS.clone()
    some[:4] = float("nan")
    found = Regression(metric).compute_metrics(VALUES, Items.from_tensors(torch.rand(30, 3), some))
    x, y = VALUES[4:, 0].numpy(), TRUTHS[4:].numpy()
    squared = float(np.mean((x - y) ** 2))
    assert found[metric] == pytest.approx(squared if reference is None else reference(x, y), abs=1e-5)
    assert found["squared_error"] == pytest.approx(squared, abs=1e-5)


def test_predictions_of_several_seeds() -> None:
    found = Regression().to_predictions([VALUES, -VALUES], Items.from_tensors(torch.rand(30, 3), TRUTHS))
    assert found["values"].shape == (2, 30)
    assert np.array_equal(found["truths"], TRUTHS.numpy())


def test_other_outputs_and_classes_as_labels_are_refused() -> None:
    items = Items.from_tensors(torch.rand(30, 3), TRUTHS)
    Regression().check(nn.Linear(3, 1), items, "student")
    with pytest.raises(ValueError, match=r"outputs of shape \(8, 2\); regression needs \[items, 1\]"):
        Regression().check(nn.Linear(3, 2), items, "student")
    with pytest.raises(ValueError, match="the labels are classes; regression needs numbers"):
        Regression().check(nn.Linear(3, 1), Items.from_tensors(torch.rand(30, 3), torch.ones(30, dtype=torch.int64)), "student")
