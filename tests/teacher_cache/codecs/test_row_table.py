from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck.teacher_cache.codecs.row_table import RaggedColumn, RowTable, concat_tables


def table(lengths: list[int], start: int = 0) -> RowTable:
    """Rows with nested ragged columns; every number is its own position."""
    outer = torch.tensor(lengths, dtype=torch.int64)
    inner = torch.arange(int(outer.sum())) % 3
    leaves = RowTable({"leaf": torch.arange(int(inner.sum())) + start})
    entries = RowTable({"entry": torch.arange(int(outer.sum())) + start}, {"inner": RaggedColumn.from_lengths(inner, leaves)})
    return RowTable({"column": torch.arange(len(lengths)) + start}, {"outer": RaggedColumn.from_lengths(outer, entries)})


def rows(of: RowTable) -> list[object]:
    """The rows of a table, read with plain loops."""
    outer, inner = of.ragged["outer"], of.ragged["outer"].entries.ragged["inner"]
    return [
        (
            int(of.columns["column"][i]),
            [
                (
                    int(outer.entries.columns["entry"][j]),
                    inner.entries.columns["leaf"][inner.offsets[j] : inner.offsets[j + 1]].tolist(),
                )
                for j in range(int(outer.offsets[i]), int(outer.offsets[i + 1]))
            ],
        )
        for i in range(len(of))
    ]


lengths = st.lists(st.integers(0, 4), max_size=6)


@settings(deadline=None)
@given(lengths, st.lists(st.integers(0, 5), max_size=8))
def test_take_selects_rows(lengths: list[int], places: list[int]) -> None:
    chosen = [place for place in places if place < len(lengths)]
    whole = table(lengths)
    assert rows(whole.take(torch.tensor(chosen, dtype=torch.int64))) == [rows(whole)[place] for place in chosen]


@settings(deadline=None)
@given(st.lists(lengths, min_size=1, max_size=4))
def test_concat_appends_rows(parts: list[list[int]]) -> None:
    tables = [table(part, 100 * number) for number, part in enumerate(parts)]
    assert rows(concat_tables(tables)) == [row for part in tables for row in rows(part)]


@settings(deadline=None)
@given(lengths)
def test_a_table_is_rebuilt_from_plain_tensors(lengths: list[int]) -> None:
    tensors = table(lengths).tensors()
    assert set(tensors) == {"column", "outer/offsets", "outer/entry", "outer/inner/offsets", "outer/inner/leaf"}
    assert rows(RowTable.from_tensors(tensors)) == rows(table(lengths))


def test_inconsistent_offsets_are_detected() -> None:
    entries = RowTable({"entry": torch.arange(3)})
    assert RowTable({}, {"list": RaggedColumn(torch.tensor([0, 1, 3]), entries)}).is_consistent()
    for offsets in ([0, 2, 4], [0, 2, 2], [1, 2, 3], [0, 5, 3], []):
        assert not RowTable({}, {"list": RaggedColumn(torch.tensor(offsets, dtype=torch.int64), entries)}).is_consistent()
    assert not RowTable({"a": torch.zeros(2), "b": torch.zeros(3)}).is_consistent()
    assert not RowTable({"a": torch.tensor(1.0)}).is_consistent()
    assert not RowTable({"a": torch.zeros(3)}, {"list": RaggedColumn(torch.tensor([0, 1, 3]), entries)}).is_consistent()
