"""Easy items by labels, hard ones by the teacher, on two samples."""

from __future__ import annotations

import pytest
import torch

from limbeck import methods
from tests.methods.by_hand import (
    UNLABELLED,
    built,
    check_gradients,
    cross_entropy,
    divergence,
    entropy,
    logits,
    loss,
    teacher_logits,
)
from tests.methods.multi_teacher.test_agreeing_teachers import distance

HARD = {
    "entropy": lambda s, t: entropy(s) / torch.log(torch.tensor(3.0)),
    "confidence": lambda s, t: (1 - s.softmax(-1).amax(-1)) * 3 / 2,
    "disagreement": lambda s, t: distance(s, t),
    "difficulty": lambda s, t: 1 - torch.exp(-cross_entropy(s)),
}


@pytest.mark.parametrize("by", HARD)
def test_by_hand(by):
    criterion, actors = built("easy_by_labels", by=by, temperature=2, labels=0.5, soft=2)
    s, (t,) = logits(actors, "student"), teacher_logits(actors)
    hard = HARD[by](s, t).detach()
    expected = 0.5 * (1 - hard) * cross_entropy(s) + 2 * hard * divergence(t, s, 2)
    check_gradients(loss(criterion), expected.mean(), actors)


def test_items_without_a_label_are_hard():
    criterion, actors = built("easy_by_labels", temperature=2)
    s, (t,) = logits(actors, "student"), teacher_logits(actors)
    check_gradients(loss(criterion, UNLABELLED), divergence(t, s, 2).mean(), actors)


@pytest.mark.parametrize(
    ("given", "message"), [({"by": "size"}, "by='size': expected 'entropy' or"), ({"soft": 0}, "soft is 0")]
)
def test_what_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        methods.call("easy_by_labels", given)
