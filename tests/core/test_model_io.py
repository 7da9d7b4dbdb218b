"""How models are called and their outputs read."""

from __future__ import annotations

from collections import OrderedDict

import pytest
import torch
from torch import nn

from limbeck.core.errors import TapError
from limbeck.core.model_io import logits_of, preserve_modes


def net() -> nn.Sequential:
    torch.manual_seed(0)
    parts = [("first", nn.Linear(3, 4)), ("norm", nn.BatchNorm1d(4)), ("act", nn.ReLU(inplace=True)), ("last", nn.Linear(4, 2))]
    return nn.Sequential(OrderedDict(parts))


X = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))


def test_logits_within_what_models_return():
    class Answer:
        logits = X

    for output in (X, (X, 1), {"logits": X, "loss": 0}, Answer()):
        assert torch.equal(logits_of(output), X)
    with pytest.raises(TapError, match="returned dict, in which no logits"):
        logits_of({"loss": 0})


def test_modes_are_kept_module_by_module():
    model = net().train()
    model.norm.eval()
    with pytest.raises(TypeError), preserve_modes(model):
        model.eval()(None)
    assert (model.training, model.first.training, model.norm.training) == (True, True, False)
