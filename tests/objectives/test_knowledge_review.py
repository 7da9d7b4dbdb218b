"""Knowledge review: levels and fusions."""

from __future__ import annotations

import pytest
import torch

from limbeck.objectives import Review


def maps(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_review_takes_three_levels_and_refuses_others():
    sizes = [(4, 8), (6, 4), (8, 2)]
    student = tuple(maps(2, c, n, n, seed=c) for c, n in sizes)
    teacher = tuple(maps(2, c + 1, n, n, seed=c + 1) for c, n in sizes)
    objective = Review(mid_channels=3)
    loss = objective(student, teacher)
    assert loss.shape == (2,)
    assert len(objective.fusions) == 3
    loss.sum().backward()
    assert all(p.grad is not None for p in objective.parameters())
    with pytest.raises(ValueError, match="review: was built for 3 levels and got 2"):
        objective(student[:2], teacher[:2])
    with pytest.raises(ValueError, match="review: 3 student taps and 2 teacher taps do not fit"):
        objective(student, teacher[:2])
    with pytest.raises(ValueError, match="review: the student side has 1 taps; it needs two or more"):
        Review()(student[0], teacher[0])


def test_gradient_of_a_shallow_level_reaches_deeper_ones():
    student = tuple(maps(2, 3, n, n, seed=n).requires_grad_() for n in (8, 4))
    objective = Review(mid_channels=3)
    objective.build(((2, 3, 8, 8), (2, 3, 4, 4)), ((2, 3, 8, 8), (2, 3, 4, 4)))
    _, deep = objective.fusions[1](student[1], None)
    out, _ = objective.fusions[0](student[0], deep)
    assert torch.autograd.grad(out.sum(), student[1], retain_graph=True)[0].abs().sum() > 0
