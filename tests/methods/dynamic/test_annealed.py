"""The weight of the teacher over time, on two samples."""

from __future__ import annotations

import pytest

from limbeck import methods
from tests.methods.by_hand import built, check_gradients, cross_entropy, divergence, logits, loss, teacher_logits


@pytest.mark.parametrize(("progress", "alpha"), [(0.0, 0.8), (0.5, 0.4), (1.0, 0.0)])
@pytest.mark.parametrize("shape", ["linear", "cosine"])
def test_by_hand(progress, alpha, shape):
    criterion, actors = built("annealed", start=0.8, end=0.0, shape=shape, temperature=2)
    s, (t,) = logits(actors, "student"), teacher_logits(actors)
    expected = (1 - alpha) * cross_entropy(s) + alpha * divergence(t, s, 2)
    check_gradients(loss(criterion, progress=progress), expected.mean(), actors)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"start": 2}, "start is 2; expected a weight from 0 to 1"),
        ({"start": 0, "end": 0}, "the teacher never teaches"),
        ({"shape": "step"}, "shape is 'step'; expected linear or cosine"),
    ],
)
def test_what_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        methods.call("annealed", given)
