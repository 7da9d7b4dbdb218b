"""BatchNorm statistics are the averages over the given batches."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from limbeck.core.recalibration import recalibrate
from tests.core.networks import Net

BATCHES = [torch.randn(8, 3, generator=torch.Generator().manual_seed(seed)) for seed in range(3)]


def test_statistics_are_the_mean_over_batches() -> None:
    net = Net().train()
    net.norm.running_mean.fill_(7)
    weights = [parameter.clone() for parameter in net.parameters()]
    recalibrate(net, BATCHES)
    hidden = [net.body(batch) for batch in BATCHES]
    torch.testing.assert_close(net.norm.running_mean, torch.stack([h.mean(0) for h in hidden]).mean(0))
    torch.testing.assert_close(net.norm.running_var, torch.stack([h.var(0) for h in hidden]).mean(0))
    assert net.norm.momentum == 0.1
    assert net.training
    assert all(torch.equal(old, new) for old, new in zip(weights, net.parameters(), strict=True))


def test_dropout_is_off() -> None:
    net = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm1d(3)).train()
    recalibrate(net, BATCHES)
    torch.testing.assert_close(net[1].running_mean, torch.stack([batch.mean(0) for batch in BATCHES]).mean(0))
    assert net[0].training


def test_layers_that_do_not_run_keep_their_statistics() -> None:
    net = Net().eval()
    net.extra = nn.BatchNorm1d(2)
    net.extra.running_mean.fill_(7)
    recalibrate(net, BATCHES)
    assert torch.equal(net.extra.running_mean, torch.full((2,), 7.0))


def test_no_batches_are_refused_before_anything_changes() -> None:
    net = Net()
    net.norm.running_mean.fill_(7)
    with pytest.raises(ValueError, match="no batches"):
        recalibrate(net, [])
    assert torch.equal(net.norm.running_mean, torch.full((5,), 7.0))


@pytest.mark.parametrize("by_layer", [True, False])
def test_statistics_that_are_used_in_slices_are_measured(by_layer: bool) -> None:
    class Narrow(Net):
        """The first three channels only, normalised by a function, in the mode of the layer or of the network."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            norm = self.norm
            training = norm.training if by_layer else self.training
            hidden = F.linear(x, self.body.weight[:3], self.body.bias[:3])
            mean, var = norm.running_mean[:3], norm.running_var[:3]
            hidden = F.batch_norm(hidden, mean, var, norm.weight[:3], norm.bias[:3], training, norm.momentum)
            return F.linear(self.drop(hidden), self.head.weight[:, :3], self.head.bias)

    net = Narrow().eval()
    net.norm.running_mean.fill_(7)
    recalibrate(net, BATCHES)
    hidden = torch.stack([net.body(batch).mean(0) for batch in BATCHES]).mean(0)
    torch.testing.assert_close(net.norm.running_mean, torch.cat([hidden[:3], torch.full((2,), 7.0)]))
    assert (net.norm.momentum, net.training, net.drop.training) == (0.1, False, False)


class Listed(nn.Module):
    """Keeps its BatchNorm layer in a list, and passes slices of it to `F.batch_norm`, as many supernets do."""

    def __init__(self, training: bool | None = None) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.BatchNorm1d(3)])
        self.fixed = training

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        norm = self.norms[0]
        training = self.training if self.fixed is None else self.fixed
        return F.batch_norm(x[:, :2], norm.running_mean[:2], norm.running_var[:2], training=training, momentum=norm.momentum)


def test_slices_of_layers_in_a_list_are_measured() -> None:
    net = Listed().eval()
    net.norms[0].running_mean.fill_(7)
    recalibrate(net, BATCHES)
    expected = torch.stack([batch[:, :2].mean(0) for batch in BATCHES]).mean(0)
    torch.testing.assert_close(net.norms[0].running_mean, torch.cat([expected, torch.tensor([7.0])]))
    assert not net.training


def test_statistics_that_cannot_be_measured_are_kept_with_a_warning() -> None:
    net = Listed(training=False)
    net.norms[0].running_mean.fill_(7)
    with pytest.warns(UserWarning, match="BatchNorm"):
        recalibrate(net, BATCHES)
    assert torch.equal(net.norms[0].running_mean, torch.full((3,), 7.0))
