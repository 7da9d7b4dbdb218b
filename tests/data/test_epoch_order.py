"""The order of an epoch: grouping by length does not change the items that it shows."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from limbeck.data.epoch_order import epoch_order

LENGTHS = torch.randint(1, 60, (2000,), generator=torch.Generator().manual_seed(0))


def padding(order: Tensor, lengths: Tensor, size: int) -> float:
    batches = lengths[order].view(-1, size)
    return 1 - float(batches.sum() / (batches.amax(1) * size).sum())


sizes = st.integers(1, 90).flatmap(lambda count: st.tuples(st.just(count), st.integers(1, count), st.booleans()))


@settings(deadline=None)
@given(sizes, st.integers(0, 3), st.integers(0, 3), st.data())
def test_grouping_keeps_the_items_of_an_epoch(sizes: tuple[int, int, bool], seed: int, epoch: int, data: st.DataObject) -> None:
    count, size, drop_last = sizes
    lengths = torch.tensor(data.draw(st.lists(st.integers(1, 5), min_size=count, max_size=count)))
    steps = count // size if drop_last else -(-count // size)
    plain = epoch_order(seed, epoch, count, size, steps)
    grouped = epoch_order(seed, epoch, count, size, steps, lengths)
    assert len(grouped) == steps * size
    assert torch.equal(grouped.sort().values, plain.sort().values)
    assert torch.equal(grouped, epoch_order(seed, epoch, count, size, steps, lengths))
    assert int((plain.bincount(minlength=count) == 0).sum()) == (count % size if drop_last else 0)


def test_grouping_removes_most_padding() -> None:
    plain, grouped = (epoch_order(0, 0, 2000, 8, 250, lengths) for lengths in (None, LENGTHS))
    assert padding(plain, LENGTHS, 8) > 0.35
    assert padding(grouped, LENGTHS, 8) < 0.03


def test_epochs_and_seeds_differ_in_batches_and_in_their_order() -> None:
    base = epoch_order(0, 0, 2000, 8, 250, LENGTHS).view(250, 8)
    for other in (epoch_order(0, 1, 2000, 8, 250, LENGTHS), epoch_order(1, 0, 2000, 8, 250, LENGTHS)):
        together = {frozenset(batch) for batch in base.tolist()} & {frozenset(batch) for batch in other.view(250, 8).tolist()}
        assert not together
    lengths = LENGTHS[base].amax(1).double()
    assert abs(float(torch.corrcoef(torch.stack([lengths, torch.arange(250.0).double()]))[0, 1])) < 0.2
    left_out = [set(range(2000)) - set(epoch_order(0, epoch, 2000, 300, 6, LENGTHS).tolist()) for epoch in range(2)]
    assert [len(rest) for rest in left_out] == [200, 200]
    means = [float(LENGTHS[list(rest)].double().mean()) for rest in left_out]
    assert all(abs(mean - float(LENGTHS.double().mean())) < 5 for mean in means)  # not the longest


def test_short_epochs_do_not_repeat_their_batches() -> None:
    lengths = torch.arange(64)  # all different, so that sorting all of them would leave no choice
    epochs = [epoch_order(0, epoch, 64, 8, 8, lengths).view(8, 8).sort(1).values.tolist() for epoch in range(2)]
    assert not {tuple(batch) for batch in epochs[0]} & {tuple(batch) for batch in epochs[1]}
