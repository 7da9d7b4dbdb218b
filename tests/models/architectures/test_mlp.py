"""Input shapes of the multilayer perceptron."""

import torch

from limbeck import models


def test_mlp_flattens_and_may_be_linear():
    assert models.mlp(64, classes=3)(torch.rand(2, 1, 8, 8)).shape == (2, 3)
    assert models.count_parameters(models.mlp(4, hidden=(), classes=3)) == 15
