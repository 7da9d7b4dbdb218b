"""Temperatures of items, and over time, on two samples."""

from __future__ import annotations

import pytest
import torch

from limbeck import methods
from tests.methods.by_hand import built, check_gradients, cross_entropy, divergence, entropy, logits, loss, teacher_logits


def test_each_item_has_its_own():
    criterion, actors = built("dynamic_temperature", low=1, high=5, alpha=0.9)
    s, (t,) = logits(actors, "student"), teacher_logits(actors)
    own = 1 + 4 * (1 - entropy(t) / torch.log(torch.tensor(3.0)))
    soft = torch.stack([divergence(t[k], s[k], own[k]) for k in range(2)])
    check_gradients(loss(criterion), (0.1 * cross_entropy(s) + 0.9 * soft).mean(), actors)


@pytest.mark.parametrize(("progress", "temperature"), [(0.0, 5.0), (0.5, 3.0), (1.0, 1.0)])
def test_over_time_from_smooth_to_sharp(progress, temperature):
    criterion, actors = built("dynamic_temperature", by="time", low=1, high=5, alpha=1)
    s, (t,) = logits(actors, "student"), teacher_logits(actors)
    check_gradients(loss(criterion, progress=progress), divergence(t, s, temperature).mean(), actors)


@pytest.mark.parametrize(
    ("given", "message"), [({"by": "size"}, "by='size': expected 'item' or 'time'"), ({"low": 0}, "low is 0 and high 6")]
)
def test_what_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        methods.call("dynamic_temperature", given)
