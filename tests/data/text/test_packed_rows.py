"""Rows of different lengths, against plain lists."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck.data.text.packed_rows import PackedRows

rows_of_numbers = st.lists(st.lists(st.integers(-9, 9), max_size=7), min_size=1, max_size=9)


@settings(deadline=None)
@given(rows_of_numbers, st.data(), st.booleans(), st.integers(0, 3))
def test_padding_and_selection(rows: list[list[int]], data: st.DataObject, left: bool, more: int) -> None:
    ragged = PackedRows.from_rows(rows)
    assert ragged.values.dtype == torch.int32
    assert ragged.lengths.tolist() == [len(row) for row in rows]
    chosen = data.draw(st.lists(st.integers(0, len(rows) - 1), min_size=1, max_size=12))
    width = max(len(rows[n]) for n in chosen) + more
    gaps = [[77] * (width - len(rows[n])) for n in chosen]
    expected = [gap + rows[n] if left else rows[n] + gap for n, gap in zip(chosen, gaps, strict=True)]
    wanted = torch.tensor(chosen)
    assert ragged.pad(wanted, width, 77, left).tolist() == expected
    assert ragged.mask(wanted, width, left).sum(1).tolist() == [len(rows[n]) for n in chosen]
    assert torch.equal(ragged.mask(wanted, width, left), ragged.pad(wanted, width, 77, left) != 77)
    selected = ragged.select(wanted)
    assert [selected[n].tolist() for n in range(len(selected))] == [rows[n] for n in chosen]


@settings(deadline=None)
@given(rows_of_numbers, st.data())
def test_differing_rows(rows: list[list[int]], data: st.DataObject) -> None:
    others = [data.draw(st.just(row) | st.lists(st.integers(0, 1), max_size=7)) for row in rows]
    expected = [n for n, (one, other) in enumerate(zip(rows, others, strict=True)) if one != other]
    longer = [n for n in expected if len(rows[n]) != len(others[n])]
    assert PackedRows.from_rows(rows).differing_rows(PackedRows.from_rows(others)) == [
        n for n in expected if n <= min(longer, default=len(rows))
    ]
    assert PackedRows.from_rows(rows).differing_rows(PackedRows.from_rows([*rows, [1]])) == []


def test_concatenation_and_entries_of_several_dimensions() -> None:
    joined = PackedRows.concatenate([PackedRows.from_rows([[1], [2, 3]]), PackedRows.from_rows([[], [4]])])
    assert [joined[n].tolist() for n in range(4)] == [[1], [2, 3], [], [4]]
    pairs = PackedRows(torch.arange(6).view(3, 2), torch.tensor([0, 1, 3]))
    assert pairs.pad(torch.tensor([1, 0]), 2, -1).tolist() == [[[2, 3], [4, 5]], [[0, 1], [-1, -1]]]
