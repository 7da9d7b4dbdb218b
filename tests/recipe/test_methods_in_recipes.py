"""Methods that decide before anything is loaded: a recipe with one is checked whole, and means what Python means."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from limbeck import Stage, Term, Update, methods, objectives, runs
from limbeck.core.actors import average
from limbeck.engine import Length
from limbeck.recipe import Recipe, RecipeError
from limbeck.tasks import Task

SMALL = {"model": "tiny_cnn", "args": {"width": 4, "size": 8}}
TRAINING = {"steps": 6, "batch_size": 32, "trackers": [], "threads": 1}


def peers(*, task: Task, length: Length, of: str = "peers.*", weight: float = 1.0) -> dict[str, Any]:
    """Peers that learn from labels and from each other."""
    soft = Term(objectives.get("soft_targets", temperature=1), student=of, teacher=of, weight=weight)
    return {
        "stages": [Stage([Update([*task.hard_terms(of), soft], trains=of)], length)],
        "evaluate": {"a": "peers.a", "both": {"ensemble": {"of": of}}},
        "controls": {"smoothing": {"terms": [Term(objectives.get("hard_targets", label_smoothing=0.1), student=of)]}},
    }


def own_mean(*, task: Task, length: Length, decay: float = 0.9) -> dict[str, Any]:
    """A student that learns from its own average."""
    terms = [*task.hard_terms("student"), Term(objectives.get("soft_targets"), teacher="mean")]
    return {"terms": terms, "actors": {"mean": average("student", decay)}, "evaluate": {"student": "student", "mean": "mean"}}


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(methods.registry, "_parts", dict(methods.registry._parts))
    monkeypatch.setattr(methods.registry, "_citations", dict(methods.registry._citations))
    methods.registry.register("peers")(peers)
    methods.registry.register("own_mean")(own_mean)


def described(method: Any, **more: Any) -> dict[str, Any]:
    train = {"path": "digits", "split": "train", "limit": 96}
    data = {"train": train, "test": {"path": "digits", "split": "test", "limit": 32}}
    return {"name": "run", "data": data, "method": method, "training": TRAINING, **more}


def test_a_method_of_peers_runs_with_its_results_and_controls(tmp_path: Path) -> None:
    recipe = Recipe.from_dict(described("peers", actors={"peers.a": SMALL, "peers.b": SMALL}))
    verdict = runs.run_recipe(recipe, tmp_path / "run", progress=False)
    assert list(verdict.results) == ["a", "both"]
    assert set(verdict.results["both"].controls) == {"smoothing"}
    again = Recipe.read(tmp_path / "run" / "recipe.yaml")
    assert again.method == recipe.method


def test_entries_of_the_recipe_go_before_those_of_the_method(tmp_path: Path) -> None:
    own = {"evaluate": {"b": "peers.b"}, "controls": {"longer": {"training": {"steps": 8}}}}
    recipe = Recipe.from_dict(described("peers", actors={"peers.a": SMALL, "peers.b": SMALL}, **own))
    verdict = runs.run_recipe(recipe, tmp_path / "run", progress=False)
    assert list(verdict.results) == ["b"]
    assert set(verdict.results["b"].controls) == {"smoothing", "longer"}


def test_a_method_brings_an_average_that_is_evaluated(tmp_path: Path) -> None:
    recipe = Recipe.from_dict(described({"own_mean": {"decay": 0.5}}, student=SMALL))
    verdict = runs.run_recipe(recipe, tmp_path / "run", progress=False)
    assert list(verdict.results) == ["student", "mean"]
    assert recipe.originals == {"mean": "student"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (described("peers", actors={"peers.a": SMALL}), "peers.*"),  # a cohort of one
        (described("peers", actors={"a": SMALL, "b": SMALL}), "peers.*"),
        (described({"peers": {"weigth": 2}}, actors={"peers.a": SMALL, "peers.b": SMALL}), "nearest: weight"),
        (described("own_mean"), "student: a model is needed"),
        (described("own_mean", student=SMALL, terms=["hard_targets"]), "one of the three"),
        (described("own_men", student=SMALL), "nearest: own_mean"),
        (described({"own_mean": {"decay": 2}}, student=SMALL), "decay"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_recipe(content: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError) as error:
        Recipe.from_dict(content)
    assert message in str(error.value)
