"""The memory of made inputs: what goes into it and when, and that it is saved."""

from __future__ import annotations

import torch

from limbeck.objectives import ContrastiveMemory


def built(**arguments: int) -> ContrastiveMemory:
    torch.manual_seed(0)
    objective = ContrastiveMemory(dim=3, **arguments)
    objective.build((2, 4), (2, 4))
    return objective


def test_every_third_call_puts_its_rows_in_place_of_the_oldest() -> None:
    objective, calls = built(size=5, every=3), [torch.randn(2, 4) for _ in range(12)]
    for x in calls:
        objective(x, x + 0.1)
    assert objective.counts.tolist() == [12, 8]
    assert objective.head is not None
    with torch.no_grad():
        kept = torch.cat([torch.nn.functional.normalize(objective.head(calls[n])) for n in (2, 5, 8, 11)])
    torch.testing.assert_close(objective.memory, torch.stack([kept[5], kept[6], kept[7], kept[3], kept[4]]))


def test_the_memory_makes_an_item_like_an_earlier_one_worse() -> None:
    objective, x = built(size=5), torch.randn(2, 4)
    before = objective.eval()(x, x)
    objective.train()(x, x)
    after = objective.eval()(x, x)
    assert (after > before).all()
    assert objective.counts.tolist() == [1, 2]  # evaluation remembers nothing


def test_the_gradient_reaches_both_sides_only_where_inputs_are_trained() -> None:
    objective, x, y = built(size=5), torch.randn(2, 4, requires_grad=True), torch.randn(2, 4, requires_grad=True)
    objective(x, y, teacher_gradient=True).sum().backward()
    assert x.grad is not None
    assert y.grad is not None
    assert float(y.grad.norm()) > 0


def test_a_fresh_instance_restores_head_and_memory() -> None:
    objective = built(size=5)
    objective(torch.randn(2, 4), torch.randn(2, 4))
    again = ContrastiveMemory(dim=3, size=5)
    again.load_state_dict(objective.state_dict())
    x, y = torch.randn(2, 4), torch.randn(2, 4)
    assert torch.equal(objective.eval()(x, y), again.eval()(x, y))
