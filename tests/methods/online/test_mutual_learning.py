"""Mutual learning: each peer learns from the labels and from the others, which get no gradient from that."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from limbeck import Distillation, Stage, Term, Training, Update, methods, models, steps
from limbeck.core.forward_cache import ForwardCache
from limbeck.data import load_items
from limbeck.engine import Settings
from limbeck.objectives import HardTargets, SoftTargets
from limbeck.recipe import Recipe, RecipeError
from tests.methods.two_samples import (
    ONE_HOT,
    OTHER,
    TASK,
    X,
    assert_equal,
    batch,
    criterion,
    gradients,
    net,
    of_linear,
)

WIDTHS = (("peers.a", 4), ("peers.b", 8))
SMALL = {"model": "tiny_cnn", "args": {"width": 4, "size": 8}}


def terms(**arguments: Any) -> Any:
    return methods.mutual_learning(task=TASK, length=steps(1), **arguments)["stages"][0].updates[0].terms


def test_a_peer_gets_the_gradient_of_its_own_terms_only() -> None:
    a, b = net(1), net(2)
    made = criterion(terms(), {"peers.a": a, "peers.b": b}, batch())
    found = gradients(made(batch())["loss"], [a, b])
    p_a, p_b = a(X).softmax(-1).detach(), b(X).softmax(-1).detach()
    expected = of_linear(((p_a - ONE_HOT) + (p_a - p_b)) / 2) + of_linear(((p_b - ONE_HOT) + (p_b - p_a)) / 2)
    assert_equal(found, expected)


def test_of_three_peers_the_others_count_half_each() -> None:
    nets = [net(seed) for seed in range(3)]
    made = criterion(terms(temperature=2, weight=0.5), {f"peers.{n}": each for n, each in enumerate(nets)}, batch())
    found = gradients(made(batch())["loss"], nets[:1])
    p = [each(X).softmax(-1).detach() for each in nets]
    soft = [(each(X) / 2).softmax(-1).detach() for each in nets]
    pulls = 0.5 * 2 * ((soft[0] - soft[1]) + (soft[0] - soft[2])) / 2  # T² of the loss times 1/T of its gradient
    assert_equal(found, of_linear(((p[0] - ONE_HOT) + pulls) / 2))


def test_in_views_of_their_own_each_peer_runs_once_on_its_view() -> None:
    a, b = net(1), net(2)
    given = batch(second=OTHER)
    made = criterion(terms(views={"peers.a": "default", "peers.b": "second"}), {"peers.a": a, "peers.b": b}, given)
    cache = ForwardCache(made.probes, given, made.plan)
    found = gradients(made(given, forward_cache=cache)["loss"], [a, b])
    assert cache.forwards == 2
    p_a, p_b = a(X).softmax(-1).detach(), b(OTHER).softmax(-1).detach()
    expected = of_linear(((p_a - ONE_HOT) + (p_a - p_b)) / 2)
    assert_equal(found, expected + of_linear(((p_b - ONE_HOT) + (p_b - p_a)) / 2, OTHER))


def test_views_of_three_peers_average_like_the_pattern() -> None:
    nets = {f"peers.{n}": net(n) for n in range(3)}
    shared = criterion(terms(), nets, batch())(batch())["loss"]
    named = criterion(terms(views=dict.fromkeys(nets, "default")), nets, batch())(batch())["loss"]
    torch.testing.assert_close(named, shared)


def described(actors: dict[str, Any], method: Any = "mutual_learning") -> dict[str, Any]:
    train = {"path": "digits", "split": "train", "limit": 96}
    data = {"train": train, "test": {"path": "digits", "split": "test", "limit": 32}}
    return {"name": "run", "data": data, "method": method, "actors": actors, "training": {"steps": 4, "batch_size": 32}}


@pytest.mark.parametrize(
    "method", ["mutual_learning", "kdcl", {"kdcl": {"target": "mean"}}, {"kdcl": {"target": "least_error"}}]
)
def test_a_cohort_of_one_is_refused_with_the_recipe(method: Any) -> None:
    with pytest.raises(RecipeError, match=r"matches only 'peers.a'.*add|matches only 'peers.a'.*name another actor"):
        Recipe.from_dict(described({"peers.a": SMALL}, method))


@pytest.mark.parametrize("method", ["mutual_learning", {"kdcl": {"target": "mean"}}])
def test_peers_with_different_class_counts_are_refused_before_training(method: Any) -> None:
    other = {"model": "tiny_cnn", "args": {"width": 4, "size": 8, "classes": 12}}
    recipe = Recipe.from_dict(described({"peers.a": SMALL, "peers.b": other}, method))
    items = recipe.load()
    with pytest.raises(ValueError, match=r"12"):
        recipe.distillation(None, items.train).fit(items.train)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"weight": 0}, "weight is 0"), ({"temperature": -1}, "temperature -1"), ({"views": {"peers.a": "x"}}, "at least two")],
)
def test_values_out_of_range_are_refused(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        terms(**arguments)


def test_the_method_trains_the_weights_of_the_same_run_in_the_general_form() -> None:
    items = load_items("digits", split="train").select(torch.arange(96))
    actors: Any = {name: lambda width=width: models.get("tiny_cnn", width=width, size=8, channels=1) for name, width in WIDTHS}
    views: Any = {"default": [{"random_crop": {"padding": 1}}], "second": []}
    settings = Settings(progress=False, device="cpu", threads=1, trackers=())
    how: Any = {"training": Training(batch_size=32, views=views, settings=settings), "control": False}
    a, b = "peers.a", "peers.b#second"
    labels = [Term(HardTargets(), student=one) for one in (a, b)]
    others = [Term(SoftTargets(temperature=3), student=one, teacher=other) for one, other in ((a, b), (b, a))]
    general = Distillation(actors=actors, stages=[Stage([Update([*labels, *others], trains="peers.*")], steps(6))], **how)
    named: Any = methods.mutual_learning(
        task=TASK, length=steps(6), temperature=3, views={"peers.a": "default", "peers.b": "second"}
    )
    method = Distillation(actors=actors, **named, **how)
    for job in (general, method):
        job.fit(items)
    for name, _ in WIDTHS:
        ours, theirs = (job.trained[0].run.actors[name].model.state_dict() for job in (method, general))
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
