"""A small teacher for the sample that the student is unsure of, a large one for the other."""

from __future__ import annotations

import torch

from tests.methods.by_hand import built, check_gradients, divergence, entropy, logits, loss, teacher_logits


def test_soft_weights_by_hand():
    criterion, actors = built("teachers_by_uncertainty", teachers=2, temperature=2, alpha=1)
    s, (small, large) = logits(actors, "student"), teacher_logits(actors)
    u = (entropy(s) / torch.log(torch.tensor(3.0))).detach()[:, None]
    check_gradients(loss(criterion), divergence(u * small + (1 - u) * large, s, 2).mean(), actors)


def test_one_teacher_for_each_item():
    criterion, actors = built("teachers_by_uncertainty", teachers=2, soft=False, temperature=2, alpha=1)
    s, (small, large) = logits(actors, "student"), teacher_logits(actors)
    unsure = torch.zeros(2, 1)
    unsure[entropy(s).argmax()] = 1
    check_gradients(loss(criterion), divergence(unsure * small + (1 - unsure) * large, s, 2).mean(), actors)
