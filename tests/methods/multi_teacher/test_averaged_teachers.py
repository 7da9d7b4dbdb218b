"""The mean of logits, of probabilities and of losses on two samples."""

from __future__ import annotations

import pytest
import torch

from limbeck import methods
from tests.methods.by_hand import built, check_gradients, cross_entropy, divergence, logits, loss, teacher_logits


@pytest.mark.parametrize("combine", ["logits", "probabilities", "losses"])
def test_each_mean_by_hand(combine):
    criterion, actors = built("averaged_teachers", teachers=2, combine=combine, temperature=2, alpha=0.8)
    a, b = teacher_logits(actors)
    s = logits(actors, "student")
    targets = {
        "logits": divergence((a + b) / 2, s, 2),
        "probabilities": divergence(((a.softmax(-1) + b.softmax(-1)) / 2).log(), s, 2),
        "losses": (divergence(a, s, 2) + divergence(b, s, 2)) / 2,
    }
    check_gradients(loss(criterion), (0.2 * cross_entropy(s) + 0.8 * targets[combine]).mean(), actors)


def test_fixed_weights():
    criterion, actors = built("averaged_teachers", teachers=2, weights=[1, 3], temperature=1, alpha=1)
    a, b = teacher_logits(actors)
    check_gradients(loss(criterion), divergence(a / 4 + 3 * b / 4, logits(actors, "student"), 1).mean(), actors)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"combine": "scores"}, "combine='scores': expected 'logits' or"),
        ({"combine": "losses", "weights": [1, 2]}, "combine is 'losses'; use combine: probabilities"),
        ({"weights": [0, 0]}, "not all 0"),
        ({"alpha": 0}, "alpha is 0; expected a number above 0"),
        ({"beta": 1}, "averaged_teachers has no 'beta'; nearest"),
    ],
)
def test_what_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        methods.call("averaged_teachers", given)


def test_teachers_of_other_class_counts_are_refused():
    from limbeck.core.actors import Actors, frozen, trained
    from limbeck.core.criterion import Criterion

    nets = {"student": trained(torch.nn.Linear(3, 3)), "teachers.a": frozen(torch.nn.Linear(3, 3))}
    actors = Actors(nets | {"teachers.b": frozen(torch.nn.Linear(3, 4))})
    terms = methods.call("averaged_teachers", {})["terms"]
    with pytest.raises(ValueError, match=r"its members output 3, 4 classes, in this order, .*method merged_classes"):
        Criterion(terms, actors=actors, example=(torch.zeros(2, 3), torch.zeros(2, dtype=torch.int64)))
