"""How models are called and their outputs read."""

from __future__ import annotations

from collections import OrderedDict

import pytest
import torch
from torch import nn

from limbeck.core.errors import TapError
from limbeck.core.model_io import in_precision_of, logits_of, preserve_modes, select_output


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
    with pytest.raises(TapError, match="returned dict with the keys loss, in which no logits were found; name a tap"):
        logits_of({"loss": 0})
    with pytest.raises(TapError, match=r"the keys loss, out, aux, .*; choose one by the actor's output, such as output: out "):
        logits_of({"loss": X[0, 0], "out": X, "aux": X})


def test_modes_are_kept_module_by_module():
    model = net().train()
    model.norm.eval()
    with pytest.raises(TypeError), preserve_modes(model):
        model.eval()(None)
    assert (model.training, model.first.training, model.norm.training) == (True, True, False)


def test_one_output_is_chosen():
    pair = (X, X[:, :2])
    assert torch.equal(select_output(pair, "(1)"), X[:, :2])
    assert torch.equal(select_output(X, "(0)"), X)  # models return more in training mode
    assert torch.equal(select_output({"logits": X, "dist": -X}, "dist"), -X)
    assert torch.equal(select_output({"logits": X}, "logits"), X)
    with pytest.raises(TapError, match=r"output 'dst': .* keys logits, dist; name a key"):
        select_output({"logits": X, "dist": -X}, "dst")
    with pytest.raises(TapError, match=r"output '\(2\)': .* a tuple of \(0\): \(5, 3\), \(1\): \(5, 2\)"):
        select_output(pair, "(2)")
    with pytest.raises(TapError, match="output 'norm'"):
        select_output(X, "norm")  # a method of tensors


@pytest.mark.parametrize("second", [X[:, :2], -X], ids=["features and logits", "two classifiers"])
def test_a_tuple_of_several_outputs_is_not_guessed(second):
    shapes = rf"\(0\): \(5, 3\), \(1\): \(5, {second.shape[1]}\)"
    with pytest.raises(TapError, match=rf"{shapes}, and several could be its logits; .*output: \"\(1\)\""):
        logits_of((X, second))
    assert torch.equal(select_output((X, second), "(0)"), X)


def test_other_parts_of_a_tuple_do_not_count():
    for others in ((X[:, None],), (None,), (torch.zeros(5, 3, dtype=torch.long),), (X[:, 0], {"a": X})):
        assert torch.equal(logits_of((X, *others)), X)


def test_inputs_take_the_precision_of_a_model_that_has_none_of_theirs():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2).double())
    ids, half, single = torch.ones(1, dtype=torch.int64), torch.ones(1, dtype=torch.float16), torch.ones(1)
    found = in_precision_of(tuple(model.parameters()), {"ids": ids, "half": half, "single": single, "double": single.double()})
    assert found["ids"] is ids
    assert found["single"] is single
    assert (found["half"].dtype, found["double"].dtype) == (torch.float32, torch.float64)
    assert in_precision_of((), half) is half
