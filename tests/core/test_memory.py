"""What outlives a step."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from limbeck.core.memory import PerSampleTable, Queue


def test_a_table_says_which_rows_were_written():
    table = PerSampleTable(5, 2, fill=-1)
    table.write(torch.tensor([3, 0]), torch.tensor([[1.0, 2], [3, 4]], requires_grad=True))
    rows, written = table.read(torch.tensor([0, 1, 3]))
    assert rows.tolist() == [[3, 4], [-1, -1], [1, 2]]
    assert written.tolist() == [True, False, True]
    assert not rows.requires_grad


def test_what_was_read_does_not_change_when_the_table_does():
    table = PerSampleTable(2, 1)
    rows, written = table.read(torch.tensor([0]))
    table.write(torch.tensor([0]), torch.ones(1, 1))
    assert (rows.item(), written.item()) == (0, False)


@given(st.lists(st.integers(1, 7), max_size=8))
def test_a_queue_holds_the_last_rows(sizes):
    queue, everything = Queue(4, 1), []
    for size in sizes:
        new = torch.arange(len(everything), len(everything) + size).float()
        everything += new.tolist()
        queue.put(new[:, None])
        assert sorted(queue.contents()[:, 0].tolist()) == everything[-4:]


def test_a_queue_resumes_where_it_was():
    queue, resumed = Queue(3, 1), Queue(3, 1)
    queue.put(torch.tensor([[1.0], [2], [3], [4]]))
    resumed.load_state_dict(queue.state_dict())
    for one in (queue, resumed):
        one.put(torch.tensor([[5.0]]))
    assert resumed.contents().tolist() == queue.contents().tolist()
    assert sorted(resumed.contents()[:, 0].tolist()) == [3, 4, 5]


def test_a_table_resumes():
    table, resumed = PerSampleTable(3, 2), PerSampleTable(3, 2)
    table.write(torch.tensor([1]), torch.ones(1, 2))
    resumed.load_state_dict(table.state_dict())
    assert resumed.read(torch.tensor([0, 1]))[1].tolist() == [False, True]
    assert torch.equal(resumed.rows, table.rows)
