"""Exits, variants and ensembles are saved, loaded and exported like any model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from limbeck import models
from limbeck.core.actors import Actors, trained
from limbeck.core.reference_module import module_of
from limbeck.core.teachers import Ensemble
from limbeck.core.weighers import Entropy
from limbeck.export.trace import single_output, trace
from limbeck.models.base import register_builder

IMAGES = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def first_columns(model: nn.Module, inputs: Tensor, generator: torch.Generator) -> Any:
    return model(inputs * (torch.arange(8) < 4))


class Elastic(nn.Module):
    """A model that brings a variant."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 4, 3)
        self.variants = {"small": first_columns}

    def forward(self, images: Tensor) -> Tensor:
        return self.body(images).mean((2, 3))


@register_builder("elastic_for_test_references")
def elastic() -> Elastic:
    return Elastic()


@pytest.fixture(scope="module")
def actors() -> Actors:
    torch.manual_seed(0)
    return Actors(
        {
            "student": trained(models.get("resnet_cifar", depth=8, classes=4).eval()),
            "other": trained(models.get("tiny_cnn", channels=3, classes=4).eval()),
            "elastic": trained(elastic().eval()),
        }
    )


EVALUATED = {
    "exit": "student:layer2",
    "variant": "elastic@small",
    "tap of a variant": "elastic@small:body",
    "ensemble": Ensemble(["student", "other", "elastic@small"], by={"entropy": {"temperature": 2.0}}),
}


@pytest.mark.parametrize("prune", [False, True])
@pytest.mark.parametrize("name", EVALUATED)
def test_round_trip(actors: Actors, name: str, prune: bool, tmp_path: Path) -> None:
    module = module_of(EVALUATED[name], actors, prune=prune).eval()
    models.save_model(module, None, tmp_path)
    loaded = models.load_model(tmp_path)
    assert torch.equal(loaded(IMAGES), module(IMAGES))
    assert loaded.state_dict().keys() == module.state_dict().keys()
    assert models.spec_of(loaded) == models.spec_of(module)


@pytest.mark.parametrize("prune", [False, True])
@pytest.mark.parametrize("name", EVALUATED)
def test_traces_for_any_batch(actors: Actors, name: str, prune: bool) -> None:
    module = module_of(EVALUATED[name], actors, prune=prune).eval()
    program = trace(single_output(module, IMAGES), IMAGES, any_batch=True)
    more = torch.rand(5, 3, 8, 8)
    torch.testing.assert_close(program.module()(more), module(more))


def test_pruned_exit_as_onnx_holds_no_later_weights(actors: Actors) -> None:
    pytest.importorskip("onnxscript")
    module = module_of("student:layer2", actors, prune=True).eval()
    program = torch.onnx.export(trace(module, IMAGES, any_batch=False), dynamo=True, verbose=False)
    assert program is not None
    operators = [node.op_type for node in program.model.graph]
    assert operators.count("Conv") == 5  # of 7


def test_pruned_exit_of_a_residual_network(actors: Actors) -> None:
    pruned = module_of("student:layer2", actors, prune=True)
    assert pruned.removed == ["layer3", "linear"]
    assert sum(isinstance(part, nn.Conv2d) for part in pruned.modules()) == 5


def test_ensemble_of_a_weigher_object_has_no_spec(actors: Actors, tmp_path: Path) -> None:
    module = module_of(Ensemble(["student", "other"], by=Entropy()), actors)
    assert models.spec_of(module) is None
    with pytest.raises(ValueError, match="unknown how to build"):
        models.save_model(module, None, tmp_path)


def test_exit_of_an_unregistered_model_has_no_spec() -> None:
    module = module_of("student:0", Actors({"student": trained(nn.Sequential(nn.Linear(2, 2), nn.ReLU()))}))
    assert models.spec_of(module) is None


def test_unknown_variant_is_refused() -> None:
    with pytest.raises(ValueError, match="small"):
        models.get("variant", of={"model": "elastic_for_test_references"}, name="smal")
