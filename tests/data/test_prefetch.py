"""Batches computed ahead are those computed on demand."""

from __future__ import annotations

import threading

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck.core.batch import Batch
from limbeck.core.source import BatchPosition
from limbeck.data.prefetch import Prefetcher


class Compute:
    """Batches that hold their position; records the positions and the threads."""

    def __init__(self) -> None:
        self.positions: list[BatchPosition] = []
        self.threads: set[str] = set()

    def __call__(self, position: BatchPosition) -> Batch:
        self.positions.append(position)
        self.threads.add(threading.current_thread().name)
        return Batch({"default": torch.tensor([position.step, position.seed, position.part, position.parts])})


positions = st.builds(BatchPosition, st.integers(0, 4), st.integers(0, 1), st.integers(0, 1), st.just(2))


@settings(deadline=None)
@given(st.lists(positions, max_size=20), st.integers(0, 3))
def test_batches_are_those_computed_on_demand(wanted: list[BatchPosition], depth: int) -> None:
    prefetcher = Prefetcher(Compute(), depth)
    for position in wanted:
        expected = [position.step, position.seed, position.part, position.parts]
        assert prefetcher.batch(position).inputs["default"].tolist() == expected


@pytest.mark.parametrize("depth", [1, 3])
def test_each_batch_is_computed_once_and_in_another_thread(depth: int) -> None:
    compute = Compute()
    prefetcher = Prefetcher(compute, depth)
    for step in range(6):
        for _ in range(2):  # two updates of a step read the same batch
            prefetcher.batch(BatchPosition(step))
    for step in range(6, 6 + depth):  # those that were started; a step that is skipped would be cancelled
        prefetcher.batch(BatchPosition(step))
    steps = [position.step for position in compute.positions]
    assert sorted(set(steps)) == list(range(max(steps) + 1))
    assert len(steps) == len(set(steps))
    assert threading.current_thread().name not in compute.threads


def test_without_depth_there_is_no_thread() -> None:
    compute = Compute()
    Prefetcher(compute, 0).batch(BatchPosition(3))
    assert compute.positions == [BatchPosition(3)]
    assert compute.threads == {threading.current_thread().name}


def test_batches_of_distant_steps_are_dropped() -> None:
    compute = Compute()
    prefetcher = Prefetcher(compute, 1)
    for step in (0, 9, 0):
        prefetcher.batch(BatchPosition(step))
    assert set(prefetcher._pending) == {BatchPosition(0), BatchPosition(1)}
    assert [position.step for position in compute.positions].count(0) == 2
