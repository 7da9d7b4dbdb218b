"""Decoded images stay in memory as far as they fit, for all worker processes."""

from __future__ import annotations

import copy
import pickle
import sys

import pytest
import torch
from torch import Tensor

from limbeck.data.image.decoded_cache import DecodedCache
from limbeck.data.workers import computed_in_workers


def images(rows: Tensor) -> Tensor:
    return rows.to(torch.uint8)[:, None, None, None].expand(-1, 1, 2, 3)


def test_the_first_rows_are_kept() -> None:
    cache, rows = DecodedCache(10, (1, 2, 3), limit=6 * 4 + 5), torch.tensor([9, 3, 0, 4])
    assert cache.capacity == 4
    assert not cache.holds_all
    assert not cache.has(rows).any()
    cache.add(rows, images(rows))
    assert cache.has(torch.arange(10)).nonzero()[:, 0].tolist() == [0, 3]
    assert torch.equal(cache.read(torch.tensor([3, 0, 3])), images(torch.tensor([3, 0, 3])))


@pytest.mark.parametrize("limit", [0, 5])
def test_without_memory_nothing_is_kept(limit: int) -> None:
    cache = DecodedCache(3, (1, 2, 3), limit)
    cache.add(torch.arange(3), images(torch.arange(3)))
    assert not cache.has(torch.arange(3)).any()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are forked on Linux")
def test_what_a_worker_decodes_is_there_for_all() -> None:
    cache = DecodedCache(4, (1, 2, 3), limit=1000)

    def fill(row: int) -> None:
        cache.add(torch.tensor([row]), images(torch.tensor([row])))

    list(computed_in_workers(fill, [1, 2], 2))
    assert cache.has(torch.arange(4)).tolist() == [False, True, True, False]
    assert torch.equal(cache.read(torch.tensor([2])), images(torch.tensor([2])))


def test_copies_start_empty() -> None:
    cache = DecodedCache(2, (1, 2, 3), limit=1000)
    cache.add(torch.arange(2), images(torch.arange(2)))
    for other in (copy.deepcopy(cache), pickle.loads(pickle.dumps(cache))):
        assert other.capacity == 2
        assert not other.has(torch.arange(2)).any()
