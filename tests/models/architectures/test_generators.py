"""Generators of images and vectors: shapes, bounds, tables of latents."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from limbeck import models


@pytest.mark.parametrize(
    ("name", "arguments", "shape"),
    [
        ("dcgan", {"shape": [1, 8, 8], "latent": 5, "width": 4}, (1, 8, 8)),
        ("dcgan", {"shape": [3, 28, 32], "latent": 5, "width": 4}, (3, 28, 32)),
        ("dcgan", {"shape": [3, 64, 64], "latent": 5, "width": 2}, (3, 64, 64)),
        ("vector_generator", {"size": 9, "latent": 5, "low": -2.0, "high": 2.0}, (9,)),
    ],
)
def test_noise_becomes_inputs_within_the_bounds_and_all_parameters_learn(
    name: str, arguments: dict[str, Any], shape: tuple[int, ...]
) -> None:
    model = models.get(name, **arguments)
    made = model(torch.randn(6, 5))
    assert made.shape == (6, *shape)
    low, high = arguments.get("low", 0.0), arguments.get("high", 1.0)
    assert low < float(made.detach().min()) < float(made.detach().max()) < high
    (made * torch.randn_like(made)).sum().backward()
    assert all(float(p.grad.abs().sum()) > 0 for p in model.parameters() if p.grad is not None)
    assert sum(p.grad is None for p in model.parameters()) == 0


def test_vectors_without_bounds_start_at_mean_0_and_deviation_1() -> None:
    made = models.get("vector_generator", size=4, latent=5)(torch.randn(500, 5)).detach()
    torch.testing.assert_close(made.mean(0), torch.zeros(4), atol=1e-4, rtol=0)
    torch.testing.assert_close(made.std(0, unbiased=False), torch.ones(4), atol=1e-2, rtol=0)


@pytest.mark.parametrize("name", ["dcgan", "vector_generator"])
def test_with_a_table_each_row_has_a_latent_of_its_own(name: str) -> None:
    sizes: dict[str, Any] = {"shape": [1, 8, 8]} if name == "dcgan" else {"size": 4}
    model = models.get(name, latent=5, rows=7, **sizes).eval()
    assert model.rows == 7
    assert set(model.of_rows) <= {path for path, _ in model.named_parameters()}
    rows = torch.tensor([2, 0, 2, 5, 6])
    made = model(rows)
    torch.testing.assert_close(made[0], made[2])
    assert not torch.allclose(made[0], made[1])
    made.square().sum().backward()
    touched = dict(model.named_parameters())[model.of_rows[0]].grad.abs().sum(1) > 0
    assert touched.tolist() == [True, False, True, False, False, True, True]


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("dcgan", {"shape": [1, 9, 8]}, r"shape is \[1, 9, 8\]"),
        ("dcgan", {"shape": [12]}, "vector_generator makes vectors"),
        ("dcgan", {"shape": [1, 128, 128]}, "from 8 to 64"),
        ("dcgan", {"shape": [1, 8, 8], "low": 1, "high": 0}, "low is 1"),
        ("dcgan", {"shape": [1, 8, 8], "rows": 0}, "rows must be at least 1"),
        ("vector_generator", {"size": 3, "low": 0.0}, "high is None"),
    ],
)
def test_what_cannot_be_made_is_refused(name: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        models.get(name, **arguments)


def test_inputs_of_the_wrong_kind_are_refused_with_the_remedy() -> None:
    with pytest.raises(ValueError, match=r"reads noise \[batch, 5\].*noise: 5"):
        models.get("dcgan", shape=[1, 8, 8], latent=5)(torch.arange(3))
    with pytest.raises(ValueError, match="rows: 7 in place of noise"):
        models.get("dcgan", shape=[1, 8, 8], latent=5, rows=7)(torch.randn(3, 5))
