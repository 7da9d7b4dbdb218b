"""The last linear layer of a control, fitted by ridge regression."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from torch import Tensor, nn

from limbeck.tasks.retrieval.last_layer import fit_last_layer, last_linear, ridge_regression


def drawn(count: int = 60, noise: float = 0.3) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x, w = torch.randn(count, 5, generator=generator) + 1, torch.randn(3, 5, generator=generator)
    return x, x @ w.T + 2 + noise * torch.randn(count, 3, generator=generator), torch.arange(count)


@pytest.mark.parametrize("bias", [True, False])
def test_the_regression_is_scikit_learns(bias: bool) -> None:
    x, y, _ = (side.double() for side in drawn())
    centred = x - x.mean(0) if bias else x
    penalty = 0.1
    scale = float(centred.square().sum(0).mean())
    weight, offset = ridge_regression(x, y, penalty, bias=bias)
    reference = Ridge(alpha=penalty * scale, fit_intercept=bias).fit(x, y)
    assert weight.numpy() == pytest.approx(reference.coef_)
    assert offset.numpy() == pytest.approx(np.broadcast_to(reference.intercept_, (3,)))


def test_the_penalty_goes_by_what_is_held_out() -> None:
    x, y, keys = drawn(noise=0.0)
    layer = nn.Linear(5, 3)
    fit_last_layer(layer, x, y, keys)
    unit = nn.functional.normalize(y, dim=1)
    assert nn.functional.cosine_similarity(layer(x), unit).mean() > 0.95
    wide = torch.randn(300, 50, generator=torch.Generator().manual_seed(4))
    target = wide[:, :3] + torch.randn(300, 3, generator=torch.Generator().manual_seed(5))
    seen = torch.arange(300) < 60  # fifty features of sixty items
    chosen = nn.Linear(50, 3)
    fit_last_layer(chosen, wide[seen], target[seen], torch.arange(60))
    weight, bias = ridge_regression(wide[seen], nn.functional.normalize(target[seen], dim=1), 1e-5)
    new = wide[~seen], target[~seen]
    least = nn.functional.cosine_similarity(new[0] @ weight.T + bias, new[1]).mean()
    assert nn.functional.cosine_similarity(chosen(new[0]), new[1]).mean() > least + 0.1


def test_a_layer_without_a_bias_keeps_none() -> None:
    x, y, keys = drawn()
    layer = nn.Linear(5, 3, bias=False)
    fit_last_layer(layer, x, y, keys)
    assert layer.bias is None


def test_one_key_for_all_items_leaves_the_smallest_penalty() -> None:
    x, y, keys = drawn()
    layer = nn.Linear(5, 3)
    fit_last_layer(layer, x, y, torch.zeros_like(keys))
    weight, _ = ridge_regression(x.double(), nn.functional.normalize(y.double(), dim=1), 1e-5)
    torch.testing.assert_close(layer.weight.double(), weight, rtol=1e-4, atol=1e-6)


def test_the_layer_is_the_one_that_gives_the_output() -> None:
    model = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 3))
    assert last_linear(model, lambda: model(torch.ones(1, 2))) == "2"
    follows = nn.Sequential(nn.Linear(2, 4), nn.Softmax(-1))
    assert last_linear(follows, lambda: follows(torch.ones(1, 2))) is None
    assert not model[2]._forward_hooks
