"""Items split among clients: each item has one client, by shares, evenly, or by a column."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from limbeck.data import Items
from limbeck.data.partition import by_column, dirichlet, even, partition


def items(count: int = 300, classes: int = 3) -> Items:
    return Items.from_tensors(torch.arange(count * 2.0).view(count, 2), torch.arange(count) % classes, classes=classes)


def shares(split, known: Items) -> torch.Tensor:
    """Items of each class by client, [clients, classes]."""
    return torch.stack([torch.bincount(known.target[rows], minlength=3) for rows in split])


@pytest.mark.parametrize("named", ["even", {"dirichlet": {"alpha": 0.5}}])
def test_each_item_has_one_client_and_the_seed_decides_which(named):
    known, split = items(), partition(named)
    first = split(known, 4, 0)
    assert torch.equal(torch.cat(first).sort().values, torch.arange(300))
    assert all(torch.equal(one, other) for one, other in zip(first, split(known, 4, 0), strict=True))
    assert not all(torch.equal(one, other) for one, other in zip(first, split(known, 4, 1), strict=True))


def test_a_small_alpha_leaves_a_client_few_classes_and_a_large_one_all():
    known = items()
    skewed, mixed = (shares(dirichlet(alpha)(known, 4, 0), known).float() for alpha in (0.1, 1000.0))
    largest = [(found / found.sum(1, keepdim=True)).max(1).values.mean() for found in (skewed, mixed)]
    assert largest[0] > 0.7
    assert largest[1] < 0.4
    assert shares(dirichlet(0.1, least=20)(known, 4, 0), known).sum(1).min() >= 20


def test_even_gives_all_the_same_mixture():
    known = items()
    assert shares(even()(known, 4, 3), known).tolist() == [[25, 25, 25]] * 4


def test_a_column_names_the_clients_in_order():
    known, hospitals = items(6), ["b", "a", "b", "c", "a", "b"]
    found = by_column("hospital")(known, 3, 0, lambda name: hospitals if name == "hospital" else [])
    assert [rows.tolist() for rows in found] == [[1, 4], [0, 2, 5], [3]]
    with pytest.raises(ValueError, match=r"'hospital' has 3 values and clients is 4; set federated.clients to 3"):
        by_column("hospital")(known, 4, 0, lambda _: hospitals)
    with pytest.raises(ValueError, match=r"no column 'hospital'"):
        by_column("hospital")(known, 3, 0)


def test_what_cannot_be_split_is_refused():
    with pytest.raises(ValueError, match=r"alpha is 0; expected a number above 0"):
        dirichlet(0)
    with pytest.raises(ValueError, match=r"these have none; use partition: even"):
        dirichlet(1.0)(Items.from_tensors(torch.randn(40, 2)), 2, 0)
    with pytest.raises(ValueError, match=r"5 items for 4 clients, each of which needs 10; expected 40 items or more"):
        dirichlet(1.0)(items(5), 4, 0)
    with pytest.raises(ValueError, match=r"raise alpha, lower least, or take fewer clients"):
        dirichlet(0.001, least=14)(items(31), 2, 0)
    with pytest.raises(ValueError, match=r"nearest: dirichlet"):
        partition({"dirichlett": {}})
    with pytest.raises(ValueError, match=r"'dirichlet': alpha='small': expected float"):
        partition({"dirichlet": {"alpha": "small"}})


@pytest.mark.parametrize("least", [0, -1, float("nan"), float("inf"), 1.5])
def test_a_client_without_items_is_refused_because_it_cannot_train(least):
    with pytest.raises(ValueError, match=rf"dirichlet: least={least}: expected a whole number, 1 or more"):
        dirichlet(0.01, least)


@pytest.mark.parametrize("clients", [0, -1, 2.5, float("nan")])
def test_a_number_of_clients_that_is_none_is_refused(clients):
    for split in (dirichlet(), even()):
        with pytest.raises(ValueError, match=rf"clients={clients}: expected a whole number, 1 or more"):
            split(items(40), clients, 0)


@pytest.mark.parametrize("alpha", [np.float32("nan"), np.float64("inf"), float("nan"), -1.0, np.float32(0)])
def test_a_concentration_that_is_none_is_refused_in_python_too(alpha):
    with pytest.raises(ValueError, match=rf"dirichlet: alpha is {alpha}; expected a"):
        dirichlet(alpha)


@pytest.mark.parametrize("empty", [None, float("nan"), " "])
def test_an_empty_cell_is_no_client(empty):
    hospitals = ["b", empty, "b", "c", "a", empty]
    with pytest.raises(ValueError, match=r"'hospital' is empty in 2 of 6 items, so that no client has them"):
        by_column("hospital")(items(6), 4, 0, lambda _: hospitals)
