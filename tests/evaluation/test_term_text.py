"""Weights and adapters as text."""

import pytest
from torch import nn

from limbeck.core.adapter_layers import PoolMap
from limbeck.core.adapters import Adapter
from limbeck.core.schedules import Cosine, Linear, Step, Warmup
from limbeck.evaluation.term_text import describe_adapter, describe_weight


def test_adapters_in_words():
    assert describe_adapter(nn.Identity()) == ""
    assert describe_adapter(Adapter(nn.Sequential(PoolMap(), nn.Linear(3, 4)))) == "mean over positions, linear 3 → 4"
    assert describe_adapter(nn.Conv2d(3, 4, 1)) == "1×1 conv 3 → 4"
    assert describe_adapter(nn.GRU(3, 4)) == "GRU"


@pytest.mark.parametrize(
    ("weight", "words"),
    [
        (2, "2"),
        (Linear(0, 5), "linear 0 → 5"),
        (Cosine() * 3, "3 × cosine 1 → 0"),
        (Warmup(until=0.1), "warmup(until=0.1)"),
        (Step(), "step"),
    ],
)
def test_weights_in_words(weight, words):
    assert describe_weight(weight) == words
