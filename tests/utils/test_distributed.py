"""With one process, communication is the identity. Runs with two are tested where they are used."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from limbeck.utils import distributed


def test_one_process_has_rank_zero_of_one() -> None:
    assert (distributed.rank(), distributed.world_size()) == (0, 1)
    assert distributed.any_process(True)
    assert not distributed.any_process(False)
    distributed.barrier()


def test_one_process_changes_no_tensor() -> None:
    x = torch.randn(3, 2, requires_grad=True)
    assert distributed.all_reduce_sum(x) is x
    assert distributed.all_gather_rows(x) is x
    distributed.replicated(x).square().sum().backward()
    torch.testing.assert_close(x.grad, 2 * x.detach())


def test_one_process_changes_no_gradient_and_no_parameter() -> None:
    layer = nn.Linear(2, 2)
    before = layer.weight.detach().clone()
    layer(torch.ones(1, 2)).sum().backward()
    for change in (distributed.all_reduce_gradients, distributed.average_gradients):
        change(layer.parameters())
        assert torch.equal(layer.weight.grad, torch.ones(2, 2))  # type: ignore[arg-type]
    distributed.broadcast_parameters(layer)
    assert torch.equal(layer.weight, before)


def test_a_group_that_ended_during_a_run_is_an_error_and_not_a_process_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "_joined", 2)  # as after `initialize` under torchrun
    for ask in (distributed.rank, distributed.world_size, distributed.barrier):
        with pytest.raises(RuntimeError, match=r"2 processes were started, and 1 is in their group"):
            ask()
    distributed.shutdown()
    assert distributed.rank() == 0
