"""Keyed draws are pure, uniform, and independent of one another."""

import pytest
import torch

from limbeck.data import keyed_random

PINNED = [5335097237157345866, -4012691086071442335, -9152934017485722591, -3124774864879809339]
KEYS = torch.arange(20_000)  # the worst case: consecutive keys


def test_draws_do_not_depend_on_other_keys() -> None:
    whole = keyed_random.uniform(3, KEYS, 5, "crop", 4)
    rows = torch.randperm(len(KEYS))[:257]
    assert torch.equal(keyed_random.uniform(3, KEYS[rows], 5, "crop", 4), whole[rows])
    assert torch.equal(keyed_random.uniform(3, KEYS, 5, "crop", 2), whole[:, :2])


def test_values_are_pinned() -> None:
    # views cached by one version must be found by the next
    keys = torch.tensor([0, 1, -1, 2**63 - 1])
    assert keyed_random.random_bits(0, keys, 0, "", 1)[:, 0].tolist() == PINNED


def test_uniform_moments_and_range() -> None:
    draws = keyed_random.uniform(0, KEYS, 0, "crop", 3)
    assert draws.dtype == torch.float32
    assert draws.min() >= 0
    assert draws.max() < 1
    assert draws.mean(0).sub(0.5).abs().max() < 0.01
    assert draws.var(0).sub(1 / 12).abs().max() < 0.002
    counts = torch.histc(draws[:, 0], bins=100, min=0, max=1)
    assert ((counts - 200) ** 2 / 200).sum() < 150  # chi-square with 99 degrees of freedom


@pytest.mark.parametrize(
    "other",
    [(1, 0, "crop"), (0, 1, "crop"), (0, 0, "flip"), (0, 0, "crop#1")],
    ids=["seed", "view", "stream", "longer stream"],
)
def test_draws_of_other_seeds_views_and_streams_are_uncorrelated(other: tuple[int, int, str]) -> None:
    seed, view, stream = other
    pair = torch.stack(
        [keyed_random.uniform(0, KEYS, 0, "crop", 1)[:, 0], keyed_random.uniform(seed, KEYS, view, stream, 1)[:, 0]]
    )
    assert torch.corrcoef(pair)[0, 1].abs() < 0.03


def test_draws_of_one_item_and_of_neighbouring_keys_are_uncorrelated() -> None:
    draws = keyed_random.uniform(0, KEYS, 0, "crop", 4)
    off_diagonal = torch.corrcoef(draws.T) - torch.eye(4)
    assert off_diagonal.abs().max() < 0.03
    assert torch.corrcoef(torch.stack([draws[:-1, 0], draws[1:, 0]]))[0, 1].abs() < 0.03


@pytest.mark.parametrize("high", [1, 2, 9, 50_000, 1 << 31])
def test_integers_fill_their_range(high: int) -> None:
    draws = keyed_random.integers(0, KEYS, 0, "crop", 2, high)
    assert draws.min() >= 0
    assert draws.max() < high
    assert draws.double().mean().item() == pytest.approx((high - 1) / 2, rel=0.02)


def test_integers_of_a_wrong_range_are_refused() -> None:
    with pytest.raises(ValueError, match="high=0"):
        keyed_random.integers(0, KEYS, 0, "crop", 1, 0)


def test_epoch_permutations_differ_by_seed_and_epoch() -> None:
    order = keyed_random.epoch_permutation(0, 0, 1000)
    assert torch.equal(order.sort().values, torch.arange(1000))
    assert torch.equal(order, keyed_random.epoch_permutation(0, 0, 1000))
    for other in (keyed_random.epoch_permutation(0, 1, 1000), keyed_random.epoch_permutation(1, 0, 1000), torch.arange(1000)):
        assert (order == other).sum() < 10


def test_permutations_are_drawn_for_each_key_and_epoch() -> None:
    orders = keyed_random.permutations(0, KEYS[:200], 3, "views", 5)
    assert torch.equal(orders.sort(1).values, torch.arange(5).expand(200, 5))
    assert torch.equal(keyed_random.permutations(0, KEYS[100:101], 3, "views", 5)[0], orders[100])
    assert orders.unique(dim=0).shape[0] > 90  # of 120
    assert not torch.equal(orders, keyed_random.permutations(0, KEYS[:200], 4, "views", 5))


def test_hashes_do_not_depend_on_the_order_of_the_keys() -> None:
    hashes = keyed_random.hashes(0, KEYS, "split")
    assert torch.equal(keyed_random.hashes(0, KEYS.flip(0), "split"), hashes.flip(0))
    assert hashes.unique().numel() == len(KEYS)
    assert not torch.equal(hashes, keyed_random.hashes(0, KEYS, "labels"))


def test_each_item_may_have_a_view_of_its_own() -> None:
    views = torch.arange(len(KEYS)) % 3
    mixed = keyed_random.uniform(0, KEYS, views, "crop", 2)
    for view in range(3):
        assert torch.equal(mixed[views == view], keyed_random.uniform(0, KEYS, view, "crop", 2)[views == view])


def test_a_generator_draws_what_the_functions_draw() -> None:
    generator = keyed_random.KeyedGenerator(4, KEYS, 2, "crop")
    assert torch.equal(generator.uniform(3), keyed_random.uniform(4, KEYS, 2, "crop", 3))
    assert torch.equal(generator.integers(3, 10), keyed_random.integers(4, KEYS, 2, "crop", 3, 10))
