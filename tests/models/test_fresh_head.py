"""Weights with another head: the trunk is loaded, the head starts anew, and what is left out is named."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from limbeck import models
from limbeck.recipe import Recipe, RecipeError
from limbeck.runs.teacher import build_pretrained
from tests import tiny


def network(classes: int, seed: int, channels: int = 1) -> nn.Module:
    torch.manual_seed(seed)
    return models.get("resnet_cifar", depth=8, width=8, classes=classes, channels=channels)


def saved(model: nn.Module, folder: Path, prefix: str = "") -> Path:
    path = folder / "weights.pt"
    torch.save({"state_dict": {prefix + key: value for key, value in model.state_dict().items()}}, path)
    return path


def head_of(model: nn.Module) -> list[str]:
    return [key for key in model.state_dict() if key.startswith(list(model.state_dict())[-1].rpartition(".")[0])]


@pytest.mark.parametrize("prefix", ["", "module.", "student."])
@pytest.mark.parametrize("classes", [7, 10])
def test_the_trunk_is_loaded_and_the_head_keeps_its_new_weights(classes: int, prefix: str, tmp_path: Path) -> None:
    """Also if the file's head is of the same shape: the classes may be others."""
    given, model = network(classes, 0), network(10, 1)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.warns(UserWarning, match=rf"fresh_head: .*\[10, \d+\].* start anew, and .*\[{classes}, \d+\].* are left out"):
        models.load_weights(model, saved(given, tmp_path, prefix), fresh_head=True)
    head = head_of(model)
    assert len(head) == 2
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key] if key in head else given.state_dict()[key]), key


def test_a_head_of_another_name_and_two_heads(tmp_path: Path) -> None:
    def two(first: str, second: str, classes: int) -> nn.Module:
        model = nn.Sequential()
        for name, layer in (("a", nn.Linear(4, 4)), ("b", nn.Linear(4, 4)), (first, nn.Linear(4, classes))):
            model.add_module(name, layer)
        model.add_module(second, nn.Linear(4, classes))
        return model

    model = two("head", "head_dist", 3)
    with pytest.warns(UserWarning, match=r"head\.weight .*4 .*start anew, and fc\.weight|head\.weight.*start anew"):
        models.load_weights(model, saved(two("fc", "aux", 5), tmp_path), fresh_head=True)


def test_what_is_no_other_head_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"does not fit this model, and layers after it do .*no other head"):
        models.load_weights(network(10, 0), saved(network(10, 0, channels=3), tmp_path), fresh_head=True)
    with pytest.raises(ValueError, match=r"none of its tensors fits|another architecture|more than a head"):
        models.load_weights(network(10, 0), saved(nn.Linear(3, 2), tmp_path), fresh_head=True)
    both = {"student": network(7, 0).state_dict(), "teacher": network(7, 1).state_dict()}
    torch.save(both, tmp_path / "both.pt")
    with pytest.raises(ValueError, match="holds the weights of 2 models"):
        models.load_weights(network(10, 0), tmp_path / "both.pt", fresh_head=True)


def test_recipes_take_it_for_models_that_are_trained(tmp_path: Path) -> None:
    path = saved(models.get("tiny_cnn", width=8, size=8, classes=4), tmp_path)
    changes = [f"teacher.weights={path}", "teacher.fresh_head=true"]
    recipe = tiny.recipe(*changes)
    everything = recipe.load()[0]
    assert everything is not None
    with pytest.warns(UserWarning, match=r"fresh_head: .*\[10, .* start anew"):
        assert set(build_pretrained(recipe, everything)) == {"teacher"}
    with pytest.raises(RecipeError, match="fresh_head: the head of this teacher would stay random; train it first"):
        tiny.recipe(*changes, "teacher.training=null")
    with pytest.raises(RecipeError, match="fresh_head: it is of weights"):
        Recipe.from_dict(tiny.content("student.fresh_head=true"))
