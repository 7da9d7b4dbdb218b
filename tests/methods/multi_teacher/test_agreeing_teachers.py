"""The vote of the teachers on two samples."""

from __future__ import annotations

import torch

from tests.methods.by_hand import built, check_gradients, divergence, logits, loss, teacher_logits


def distance(a, b):
    p, q = a.softmax(-1), b.softmax(-1)
    m = (p + q) / 2
    return 0.5 * ((p * (p / m).log2()).sum(-1) + (q * (q / m).log2()).sum(-1))


def test_by_hand():
    criterion, actors = built("agreeing_teachers", teachers=3, temperature=2, alpha=1, remember=0, sharpness=5)
    a, b, c = teacher_logits(actors)
    ab, ac, bc = distance(a, b), distance(a, c), distance(b, c)
    closest = torch.stack([torch.minimum(ab, ac), torch.minimum(ab, bc), torch.minimum(ac, bc)])
    share = torch.softmax(-5 * closest, 0)[..., None]
    target = (share * torch.stack([a, b, c])).sum(0)
    check_gradients(loss(criterion), divergence(target, logits(actors, "student"), 2).mean(), actors)
