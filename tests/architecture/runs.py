"""Carries out the recipes of `tests/architecture/recipes`, which name models of `models.py`."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from limbeck import Training
from limbeck.data import load_items, to_float
from limbeck.models import load_model, registry
from limbeck.recipe import Recipe, RecipeItems, load_plugin, read_yaml
from limbeck.recipe.schema.training import TrainingSpec
from limbeck.runs import run_recipe

HERE = Path(__file__).parent
RECIPES = HERE / "recipes"
LINES = 12  # the most of a recipe, and of the same run in Python


def recipe(name: str, *overrides: str) -> Recipe:
    """Reads a recipe, after the file with the models that it may name."""
    if "models.py:Generator" not in registry:
        load_plugin(HERE / "models.py")
    return Recipe.read(RECIPES / f"{name}.yaml", overrides)


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Sets environment variables inside the block."""
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in variables.items():
            patch.setenv(variable, value)
        yield


def carry_out(name: str, folder: Path, *overrides: str, **variables: str) -> Path:
    """Carries a recipe out in a folder, and returns the folder.

    Args:
        variables: environment variables that the recipe names.
    """
    with environment(variables):
        run_recipe(recipe(name, *overrides), folder, progress=False)
    return folder


def load(name: str, **variables: str) -> RecipeItems:
    """The data of a recipe.

    Args:
        variables: environment variables that the recipe names.
    """
    with environment(variables):
        return recipe(name).load()


def count_lines(path: Path) -> int:
    """The lines of a recipe that say something: neither empty nor a comment."""
    return sum(bool(line.strip()) and not line.strip().startswith("#") for line in path.read_text().splitlines())


def count_parts(build: Callable[..., Any]) -> int:
    """The lines of a function that returns a `Distillation`, without its signature and docstring."""
    source = textwrap.dedent(inspect.getsource(build))
    (function,) = ast.parse(source).body
    assert isinstance(function, ast.FunctionDef)
    first = function.body[1 if ast.get_docstring(function) else 0]
    last = function.body[-1].end_lineno
    assert last is not None
    return sum(bool(line.strip()) for line in source.splitlines()[first.lineno - 1 : last])


class Forwards(Counter[tuple[str, bool]]):
    """How often models ran, by their name and whether with gradient; copies of a model count as the model."""

    def watch(self, name: str, model: nn.Module) -> nn.Module:
        """Counts the runs of this model."""
        model.register_forward_pre_hook(lambda *_: self.update([(name, torch.is_grad_enabled())]))
        return model


def report_text(folder: Path) -> str:
    """The words of a report, without its markup."""
    html = (folder / "report.html").read_text(encoding="utf-8")
    body = re.sub(r"<(style|script)\b.*?</\1>", " ", html, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", body).split())


def weights(model: nn.Module) -> dict[str, torch.Tensor]:
    """Parameters and buffers, as they are now."""
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def saved(folder: Path) -> dict[str, torch.Tensor]:
    """Parameters and buffers of a model that a run has kept."""
    return weights(load_model(folder))


def identical(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """Whether two models have the same parameters and buffers, bit by bit."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def training(name: str) -> Training:
    """The training of a recipe, without a progress bar."""
    made = TrainingSpec.model_validate(read_yaml((RECIPES / f"{name}.yaml").read_text())["training"]).build()
    return replace(made, settings=replace(made.settings, progress=False))


def learn(model: nn.Module, images: torch.Tensor, labels: torch.Tensor, count: int = 60) -> nn.Module:
    """Trains a model that comes with weights in a recipe: a few steps on these images."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    order = torch.Generator().manual_seed(0)
    for _ in range(count):
        rows = torch.randint(len(images), (64,), generator=order)
        loss = nn.functional.cross_entropy(model.train()(images[rows]), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    optimizer.zero_grad()
    return model.eval()


def digits(split: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Images [N, 1, 8, 8] in [0, 1] and labels [N]."""
    items = load_items("digits", split=split)
    assert items.target is not None
    return to_float(items.fetch(torch.arange(len(items)))), items.target


def accuracy(model: nn.Module) -> float:
    """On the test digits."""
    images, labels = digits("test")
    with torch.no_grad():
        return float((model.eval()(images).argmax(-1) == labels).float().mean())
