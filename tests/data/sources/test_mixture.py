"""Batches of several sources as one."""

from __future__ import annotations

import pytest
import torch

from limbeck.core.source import BatchPosition, Observation, named_sources, source
from limbeck.data import Dataset, Items
from limbeck.data.sources import Gaussian, Mixture, Pool
from limbeck.data.sources.generated import Generated

ONES = Items.from_tensors(torch.ones(6, 2), torch.zeros(6, dtype=torch.int64), classes=3)
TWOS = Items.from_tensors(2 * torch.ones(9, 2), torch.full((9,), 2), classes=3)
PLAIN = Items.from_tensors(3 * torch.ones(4, 2))


def test_items_of_all_sources_take_turns_and_know_their_domain():
    mixed = Mixture([Dataset(ONES, 2), Dataset(TWOS, 3)])
    batch = mixed.batch(BatchPosition(0))
    assert batch.inputs["default"][:, 0].tolist() == [1, 2, 1, 2, 2]
    assert batch.extras["domain"].tolist() == [0, 1, 0, 1, 1]
    assert batch.target.tolist() == [0, 2, 0, 2, 2]
    assert ((batch.index >= 6) == (batch.extras["domain"] == 1)).all()  # rows are numbered through
    assert torch.equal(batch.keys[1], TWOS.keys[batch.index[1] - 6])
    assert (mixed.samples, mixed.steps_per_epoch) == (15, 3)


def test_what_not_all_have_is_left_out():
    batch = Mixture([Dataset(ONES, 2), Dataset(PLAIN, 2)]).batch(BatchPosition(0))
    assert batch.target is None
    noise = Mixture([Dataset(ONES, 2), Gaussian(shape=[2], batch_size=2)])
    assert noise.samples is None
    assert noise.batch(BatchPosition(0)).index is None


def test_parts_of_a_batch_are_the_whole():
    mixed = Mixture([Dataset(ONES, 2), Dataset(TWOS, 4)])
    whole = mixed.batch(BatchPosition(3))
    parts = [mixed.batch(BatchPosition(3, part=part, parts=2)) for part in range(2)]
    assert sorted(torch.cat([part.keys for part in parts]).tolist()) == sorted(whole.keys.tolist())
    assert [part.extras["domain"].tolist() for part in parts] == [[0, 1, 1]] * 2


def test_recipes_name_the_sources():
    named = {
        "a": {"gaussian": {"shape": [2], "batch_size": 2}},
        "b": {"gaussian": {"shape": [2], "batch_size": 3}},
        "both": {"mixture": {"of": ["a", "b"]}},
    }
    assert named_sources(named)["both"].fresh().batch(BatchPosition(0)).size == 5


def test_states_of_its_sources_are_kept():
    pool = Pool(Dataset(ONES, 2), size=4)
    mixed = Mixture([pool, Dataset(TWOS, 2)])
    mixed.bind({})
    mixed.batch(BatchPosition(0))
    mixed.observe(Observation(None, None, {}, {}, (), 0.0))
    again = mixed.fresh()
    again.bind({})
    again.load_state_dict(mixed.state_dict())
    assert torch.equal(again.batch(BatchPosition(1)).keys, mixed.batch(BatchPosition(1)).keys)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Mixture(["a"]), "name at least two sources"),
        (lambda: source({"mixture": {"of": "a"}}), "name at least two sources"),
        (lambda: Mixture(["a", "b"]).parts, "of names a, b of a recipe; in Python pass the sources"),
        (lambda: named_sources({"x": {"mixture": {"of": ["x", "x"]}}}), "sources.x: mixture: of names 'x', which is this"),
        (lambda: named_sources({"x": {"mixture": {"of": ["y", "z"]}}}), "unknown source 'y'"),
        (lambda: Mixture([Generated("g"), Gaussian(shape=[2])]).bind({"g": torch.nn.Identity()}), "'g' makes in a step"),
    ],
)
def test_what_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
