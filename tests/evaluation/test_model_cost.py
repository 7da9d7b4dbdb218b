"""Costs of known models, and models left as they were found."""

from itertools import groupby

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from limbeck.evaluation import model_cost


class Wrapped(nn.Module):
    """Keyword arguments in, an object with `.logits` out, as Transformers models do it."""

    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(6, 3)

    def forward(self, input_ids, scale):
        return type("Output", (), {"logits": self.line(input_ids) * scale})()


def conv():
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.Dropout(0.5))


def test_parameters_count_tied_weights_once():
    model = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False))
    model[1].weight = model[0].weight
    assert model_cost.parameters(model) == 16


def test_macs_of_a_convolution_and_a_linear_layer():
    assert model_cost.macs(conv(), torch.zeros(2, 3, 10, 10)) == 8 * 3 * 9 * 100
    assert model_cost.macs(nn.Linear(6, 5), torch.zeros(7, 6)) == 30


def test_macs_see_through_fused_attention_and_recurrence():
    tokens, width = 5, 8
    layer = nn.TransformerEncoderLayer(width, 2, dim_feedforward=16, batch_first=True)
    expected = tokens * (4 * width**2 + 2 * width * 16) + 2 * tokens**2 * width
    assert model_cost.macs(layer, torch.zeros(1, tokens, width)) == expected
    assert torch.backends.mha.get_fastpath_enabled()
    assert torch.backends.mkldnn.enabled
    lstm = nn.Sequential(nn.LSTM(width, 4, batch_first=True))
    assert model_cost.macs(lstm, torch.zeros(1, tokens, width)) == tokens * 4 * 4 * (width + 4)


def test_file_bytes_are_those_of_the_file(tmp_path):
    model = conv()
    save_file(model.state_dict(), tmp_path / "m.safetensors")
    assert model_cost.file_bytes(model) == pytest.approx((tmp_path / "m.safetensors").stat().st_size, abs=64)
    tied = nn.Sequential(nn.Linear(64, 64), nn.Linear(64, 64))
    tied[1].weight = tied[0].weight
    assert model_cost.file_bytes(tied) < 1.3 * 64 * 64 * 4


def test_peak_memory_is_weights_plus_the_widest_moment():
    model = nn.Sequential(nn.Linear(10, 1000, bias=False), nn.ReLU(), nn.Linear(1000, 10, bias=False), nn.ReLU())
    weights = 2 * 10 * 1000 * 4
    assert model_cost.peak_memory(model, torch.zeros(3, 10)) == weights + 2 * 1000 * 4  # in and out of the first ReLU


def test_costs_of_a_model_with_keyword_arguments():
    example = {"input_ids": torch.ones(4, 6), "scale": torch.ones(4, 1)}
    found = model_cost.measure_costs({"student": Wrapped()}, example, runs=3)["student"]
    assert (found.parameters, found.macs) == (21, 18)
    assert 0 < found.latency_ms.median <= found.latency_ms.p95


def test_models_and_threads_are_left_as_found():
    model = conv().train()
    model[1].eval()
    model[0].weight.requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        model_cost.measure_costs({"teacher": model, "student": conv()}, torch.randn(2, 3, 4, 4), runs=2)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert [module.training for module in model] == [True, False, True]
    assert not model[0].weight.requires_grad
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_a_failing_model_is_put_back_too():
    class Broken(nn.Linear):
        def forward(self, x):
            raise RuntimeError(f"threads {torch.get_num_threads()}")

    model, threads = Broken(2, 2).train(), torch.get_num_threads()
    with pytest.raises(RuntimeError, match="threads 1"):
        model_cost.latency({"student": model}, torch.zeros(1, 2))
    assert model.training
    assert torch.get_num_threads() == threads


def test_latency_takes_turns():
    order = []

    class Named(nn.Module):
        def __init__(self, name):
            super().__init__()
            self.name = name

        def forward(self, x):
            order.append((self.name, len(x)))
            return x

    runs = model_cost.TURN + 2
    found = model_cost.latency({"a": Named("a"), "b": Named("b")}, torch.zeros(9, 1), runs=runs)
    assert set(order) == {("a", 1), ("b", 1)}, "one item at a time"
    stretches = [(name, len(list(same))) for name, same in groupby(name for name, _ in order)]
    turns = [model_cost.WARM_UP, model_cost.TURN + 1, 2 + 1]  # the first of a stretch is not timed
    assert stretches == [(name, count) for count in turns for name in "ab"]
    assert all(0 <= one.median <= one.p95 for one in found.values())
    with pytest.raises(ValueError, match="at least 1"):
        model_cost.latency({"a": Named("a")}, torch.zeros(1), runs=0)


def test_the_weights_of_a_quantized_model_count_as_what_they_hold() -> None:
    """As a teacher quantized by torchao is measured, whose tensors have no memory of their own."""
    quantization = pytest.importorskip("torchao.quantization")
    model = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 10))
    plain = model_cost.file_bytes(model)
    quantization.quantize_(model, quantization.Int8WeightOnlyConfig())
    assert 0.2 * plain < model_cost.file_bytes(model) < 0.4 * plain
    (cost,) = model_cost.measure_costs({"teacher": model}, torch.rand(1, 64), runs=2).values()
    assert cost.macs > 0
