"""One teacher a batch: the loss is that of one of them, and its mean that of all."""

from __future__ import annotations

import torch

from tests.methods.by_hand import built, check_gradients, divergence, logits, loss, teacher_logits


def test_the_loss_is_that_of_the_drawn_teacher():
    criterion, actors = built("drawn_teacher", teachers=3, temperature=2, alpha=1, weights=[0, 1, 0])
    check_gradients(loss(criterion), divergence(teacher_logits(actors)[1], logits(actors, "student"), 2).mean(), actors)


def test_every_teacher_is_drawn():
    criterion, actors = built("drawn_teacher", teachers=2, temperature=2, alpha=1)
    expected = {round(float(divergence(z, logits(actors, "student").detach(), 2).mean()), 5) for z in teacher_logits(actors)}
    torch.manual_seed(0)
    with torch.no_grad():
        assert {round(float(loss(criterion)), 5) for _ in range(20)} == expected
