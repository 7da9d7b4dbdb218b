"""Statistics of what BatchNorm layers read."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from limbeck.core.actors import Actors, frozen
from limbeck.core.errors import TapError
from limbeck.core.readout import read_until
from limbeck.core.references import Reference
from limbeck.core.taps import Probe, batch_statistics
from limbeck.core.taps.batch_statistics import batchnorm_layers
from limbeck.models import resnet_cifar


class Network(nn.Module):
    """BatchNorm layers of maps, of vectors and without running statistics; the first one runs in place of its input."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3)
        self.activation = nn.ReLU(inplace=True)
        self.head = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
        self.stateless = nn.BatchNorm1d(4, track_running_stats=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.activation(self.norm(self.convolution(x)))
        return self.stateless(self.head(x.mean((2, 3))))


def network(dtype: torch.dtype = torch.float64) -> Network:
    torch.manual_seed(0)
    model = Network().to(dtype)
    for _ in range(3):
        model.train()(torch.randn(16, 2, 6, 6, dtype=dtype))
    return model.eval()


def read(model: nn.Module, tap: str, x: Tensor) -> Tensor:
    with Probe(model, [tap]) as probe:
        found = probe(x)[tap]
    assert isinstance(found, Tensor)
    return found


@pytest.mark.parametrize("path", ["norm", "head.1"])
def test_moments_give_mean_and_variance_of_the_batch(path: str) -> None:
    model, x = network(), torch.randn(5, 2, 6, 6, dtype=torch.float64)
    layer, seen = model.get_submodule(path), list[Tensor]()
    layer.register_forward_pre_hook(lambda _, args: seen.append(args[0].detach()))
    signal = read(model, f"statistics({path})", x)
    channels = seen[0].transpose(0, 1).flatten(1)
    assert signal.shape == (5, 3, len(channels))
    mean, square, variance = signal.mean(0)
    assert torch.allclose(layer.running_mean + mean, channels.mean(1))  # type: ignore[operator]
    assert torch.allclose(square - mean.square(), channels.var(1, unbiased=False))
    assert torch.allclose(variance, layer.running_var)  # type: ignore[arg-type]


def test_a_layer_is_found_within_a_module_that_holds_one() -> None:
    model, x = network(), torch.randn(4, 2, 6, 6, dtype=torch.float64)
    assert torch.equal(read(model, "statistics(head)", x), read(model, "statistics(head.1)", x))


def test_layers_without_running_statistics_and_several_at_once_are_refused() -> None:
    assert batchnorm_layers(network()) == ["norm", "head.1"]
    with pytest.raises(TapError, match=r"'stateless' in Network holds no BatchNorm layers with running statistics.*: "):
        Probe(network(), ["statistics(stateless)"])
    with pytest.raises(TapError, match=r"'layer1' in ResNetCifar holds \d BatchNorm layers.*one is needed: layer1"):
        Probe(resnet_cifar(8), ["statistics(layer1)"])


def test_a_pattern_stands_for_all_layers_or_those_of_a_part() -> None:
    actors = Actors({"teacher": frozen(resnet_cifar(8))})

    def taps(text: str) -> list[str]:
        return [match.tap for match in Reference.parse(text, actors=actors).matches(actors)]

    every = [f"statistics({path})" for path in batchnorm_layers(actors["teacher"].model)]
    assert len(every) > 5
    assert taps("teacher:statistics(*)") == every
    assert taps("teacher:statistics(layer2.*)") == [tap for tap in every if tap.startswith("statistics(layer2.")]
    with pytest.raises(ValueError, match=r"matches nothing: the nearest taps of 'teacher' are layer\d\.0\.bn\d|\.1"):
        taps("teacher:statistics(layer9.*)")


def test_half_precision_is_computed_in_float32_and_a_large_mean_loses_no_digits() -> None:
    layer = nn.Sequential(nn.BatchNorm1d(3))
    layer[0].running_mean.fill_(1000.0)  # type: ignore[union-attr, operator]
    x = 1000 + torch.randn(4000, 3)
    mean, square, _ = read(layer.eval(), "statistics(0)", x).mean(0)
    assert torch.allclose(square - mean.square(), x.double().var(0, unbiased=False).float(), rtol=1e-4)
    assert read(layer.bfloat16(), "statistics(0)", x.bfloat16()).dtype == torch.float32


def test_gradient_reaches_the_input_and_the_model_stays_as_it_is() -> None:
    model, x = network(), torch.randn(4, 2, 6, 6, dtype=torch.float64, requires_grad=True)
    before = copy.deepcopy(model.state_dict())
    read(model, "statistics(head.1)", x).sum().backward()
    assert x.grad is not None
    assert bool(x.grad.abs().sum() > 0)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_a_readout_gives_statistics_and_not_the_output_of_the_layer() -> None:
    model, x = network(), torch.randn(4, 2, 6, 6, dtype=torch.float64)
    signal, last = read_until(model, x, "statistics(norm)", last=None)
    assert last is None
    assert torch.equal(signal, read(model, "statistics(norm)", x))


@pytest.mark.parametrize("shape", [(5, 3), (5, 3, 4), (5, 3, 2, 4)])
@pytest.mark.parametrize("block", [1, 50, 2**19])
@pytest.mark.parametrize("channels_last", [False, True])
def test_gradients_of_the_moments(shape: tuple[int, ...], block: int, channels_last: bool, monkeypatch: Any) -> None:
    monkeypatch.setattr(batch_statistics, "BLOCK", block)  # rows at a time: one, two or all
    torch.manual_seed(0)
    x, centre = torch.randn(shape, dtype=torch.float64), torch.randn(3, dtype=torch.float64)
    x = x.contiguous(memory_format=torch.channels_last) if channels_last and len(shape) == 4 else x
    assert torch.autograd.gradcheck(lambda x: batch_statistics.Moments.apply(x, centre), x.requires_grad_())
    centred = (x.detach() - centre.reshape(-1, *[1] * (len(shape) - 2))).reshape(5, 3, -1)
    expected = torch.stack([centred.mean(2), centred.square().mean(2)], 1)
    torch.testing.assert_close(batch_statistics.Moments.apply(x, centre).detach(), expected)
