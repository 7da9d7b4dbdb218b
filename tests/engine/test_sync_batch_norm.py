"""BatchNorm over several processes: two ranks train what one does, whatever share of the batch each holds."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn

from limbeck.engine.sync_batch_norm import batch_norm, normalizes_batches
from tests import ranks

SCRIPT = "tests.engine.batch_norm_ranks_script"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("ranks")
    for count in (1, 2):
        ranks.run(count, SCRIPT, place)
    return place


def difference(folder: Path, name: str) -> float:
    """The largest of any tensor between one rank and each of two."""
    alone, *both = (load_file(folder / f"{name}-{which}.safetensors") for which in ("1-0", "2-0", "2-1"))
    return max(float((other[key] - tensor).abs().max()) for other in both for key, tensor in alone.items())


@pytest.mark.parametrize("name", ["layer-1d", "layer-2d", "layer-plain"])
def test_a_layer_has_the_output_statistics_and_gradients_of_one_rank(folder: Path, name: str) -> None:
    assert difference(folder, name) < 1e-10


@pytest.mark.parametrize("name", ["whole", "accumulated", "made"])
def test_two_ranks_give_the_weights_of_one(folder: Path, name: str) -> None:
    assert difference(folder, name) < 1e-10


def test_without_it_they_do_not(folder: Path) -> None:
    assert difference(folder, "apart") > 1e-3


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_it_agrees_with_torch_in_one_process(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    given = 30 + torch.randn(6, 5, 3, 3)
    found = []
    for function in (F.batch_norm, batch_norm):
        x, weight, bias = (
            given.to(dtype).requires_grad_(),
            torch.ones(5, requires_grad=True),
            torch.zeros(5, requires_grad=True),
        )
        mean, variance = torch.zeros(5), torch.ones(5)
        y = function(x, mean, variance, weight, bias, True, 0.3, 1e-3)
        assert y.dtype == dtype
        (y * torch.arange(3)).square().sum().backward()
        found.append([y.detach(), mean, variance, x.grad, weight.grad, bias.grad])
    tolerance = 1e-3 if dtype == torch.float32 else 0.05
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)


def test_a_single_value_for_each_channel_is_refused() -> None:
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        batch_norm(torch.ones(1, 3), None, None)


def test_layers_are_found_at_any_depth() -> None:
    assert normalizes_batches([nn.Sequential(nn.Sequential(nn.BatchNorm1d(2)))])
    assert not normalizes_batches([nn.LayerNorm(2), nn.GroupNorm(1, 2)])
