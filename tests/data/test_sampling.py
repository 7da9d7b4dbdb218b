"""Subsets chosen by key: stratified, balanced, and independent of the order of the data."""

from __future__ import annotations

import random

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from limbeck.data.sampling import balanced_subset, stratified_split


def made(strata: list[int]) -> tuple[Tensor, Tensor]:
    """Distinct keys in random order, and their strata."""
    keys = torch.randperm(1 << 12, generator=torch.Generator().manual_seed(len(strata)))[: len(strata)]
    return keys, torch.tensor(strata, dtype=torch.int64)


groups = st.lists(st.sampled_from([-100, 0, 1, 2, 7]), min_size=1, max_size=60)


@settings(deadline=None)
@given(groups, st.floats(0.01, 0.99), st.integers(0, 3), st.randoms(use_true_random=False))
def test_a_split_takes_its_fraction_of_every_stratum_in_any_order(
    strata: list[int], fraction: float, seed: int, draw: random.Random
) -> None:
    keys, labels = made(strata)
    chosen = stratified_split(keys, labels, fraction, seed)
    assert int(chosen.sum()) == round(len(strata) * fraction)
    for stratum in set(strata):
        share = int(chosen[labels == stratum].sum()) - strata.count(stratum) * fraction
        assert abs(share) <= 1
    order = torch.tensor(draw.sample(range(len(strata)), len(strata)))
    assert torch.equal(stratified_split(keys[order], labels[order], fraction, seed), chosen[order])


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30), st.floats(0.1, 0.9))
def test_equal_keys_of_a_stratum_stay_together(keys: list[int], fraction: float) -> None:
    chosen = stratified_split(torch.tensor(keys), torch.zeros(len(keys), dtype=torch.int64), fraction)
    for key in set(keys):
        assert len({bool(chosen[row]) for row, other in enumerate(keys) if other == key}) == 1


@settings(deadline=None)
@given(groups, st.data(), st.integers(0, 3))
def test_a_subset_is_even_over_the_strata_and_part_of_a_larger_one(strata: list[int], data: st.DataObject, seed: int) -> None:
    keys, labels = made(strata)
    rows = (labels >= 0).nonzero()[:, 0]
    count = data.draw(st.integers(0, len(rows)))
    subset = balanced_subset(keys, labels, rows, count, seed)
    assert len(set(subset.tolist())) == count
    assert set(subset.tolist()) <= set(rows.tolist())
    taken = {stratum: int((labels[subset] == stratum).sum()) for stratum in set(strata) - {-100}}
    for stratum, number in taken.items():
        if number < strata.count(stratum):  # it did not run out
            assert number >= max(taken.values()) - 1
    larger = balanced_subset(keys, labels, rows, len(rows), seed)
    assert torch.equal(larger[:count], subset)


def test_other_seeds_choose_other_items() -> None:
    keys, labels = made([0, 1] * 30)
    rows = torch.arange(60)
    assert not torch.equal(stratified_split(keys, labels, 0.5, 1), stratified_split(keys, labels, 0.5, 2))
    one, other = (set(balanced_subset(keys, labels, rows, 20, seed).tolist()) for seed in (1, 2))
    assert one != other
