"""Exits as modules: pruned from their network, which loses them when it is pruned itself; trained at any tap."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from limbeck import models
from limbeck.core.actors import Actors, trained
from limbeck.core.reference_module import module_of
from limbeck.core.taps import Probe
from limbeck.models.exits import with_exits

IMAGES = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def resnet() -> nn.Module:
    torch.manual_seed(0)
    return models.get("resnet_cifar", depth=8, classes=4).eval()


def with_two() -> nn.Module:
    torch.manual_seed(1)
    return with_exits(resnet(), ["layer1", "layer2.0"], example=IMAGES)


def signals(model: nn.Module, *taps: str) -> list[Tensor]:
    with Probe(model, taps) as probe:
        found = probe(IMAGES)
    return [found[tap] for tap in taps]


@pytest.mark.parametrize("example", [None, IMAGES])
def test_pruned_exit_holds_neither_later_stages_nor_other_exits(tmp_path: Path, example: Tensor | None) -> None:
    actors = Actors({"student": trained(with_two())})
    pruned = module_of("student:exits.layer2_0", actors, prune=True, example=example).eval()
    assert pruned.removed == ["layer3", "linear", "exits.layer1"]
    assert torch.equal(pruned(IMAGES), signals(actors["student"].model, "exits.layer2_0")[0])
    models.save_model(pruned, None, tmp_path)
    assert torch.equal(models.load_model(tmp_path)(IMAGES), pruned(IMAGES))


def test_pruned_network_holds_no_exits(tmp_path: Path) -> None:
    actors = Actors({"student": trained(with_two())})
    pruned = module_of("student", actors, prune=True).eval()
    assert models.count_parameters(pruned) == models.count_parameters(resnet())
    assert torch.equal(pruned(IMAGES), resnet()(IMAGES))
    models.save_model(pruned, None, tmp_path)
    assert torch.equal(models.load_model(tmp_path)(IMAGES), pruned(IMAGES))


def test_output_that_is_changed_in_place_later_is_copied() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))
    model = with_exits(network, ["0"], example=IMAGES).train()
    with Probe(model, ["exits.0", "logits"]) as probe:
        found = probe(IMAGES)
    (found["exits.0"].sum() + found["logits"].sum()).backward()
    assert model[0].weight.grad is not None


def test_exits_have_the_mode_of_their_network() -> None:
    assert not any(part.training for part in with_two().modules())
    assert all(part.training for part in with_exits(resnet().train(), ["layer1"], example=IMAGES).exits.modules())
