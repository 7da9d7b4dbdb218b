from __future__ import annotations

import functools

import pytest
import torch
from torch import Tensor, nn
from torch.fx import GraphModule

pytest.importorskip("executorch")
pytest.importorskip("torchao")

from limbeck import models
from limbeck.data import Items, evaluation_batches, load_items
from limbeck.engine import Settings, steps
from limbeck.engine.training import Training
from limbeck.experiment.teacher_training import train_teacher
from limbeck.export.base import frozen_copy
from limbeck.export.executorch.xnnpack_lowering import capture_graph, lower_for_xnnpack
from limbeck.export.quantization.pt2e import quantize_graph

QUIET = Settings(threads=1, progress=False, trackers=())


@functools.cache
def digits() -> tuple[Items, Items]:
    return load_items("digits", split="train"), load_items("digits", split="test")


def images(items: Items) -> Tensor:
    found: Tensor = next(iter(evaluation_batches(items, len(items)))).inputs["default"]
    return found


@functools.cache
def trained_on_digits() -> nn.Module:
    training = Training(length=steps(250), batch_size=64, settings=QUIET)
    return train_teacher(lambda: models.get("tiny_cnn", width=8, size=8), digits()[0], training)


def in_int8(model: nn.Module, calibration: Tensor) -> GraphModule:
    example = calibration[:2]
    graph = lower_for_xnnpack(capture_graph(frozen_copy(model), example, any_batch=True))
    return quantize_graph(capture_graph(graph, example, any_batch=True), [calibration])


@torch.no_grad()
def accuracy(model: nn.Module) -> float:
    test = digits()[1]
    assert test.target is not None
    return float((model(images(test)).argmax(-1) == test.target).double().mean())


def test_digits_keep_their_accuracy() -> None:
    model = trained_on_digits()
    small = in_int8(model, images(digits()[0])[:256])
    assert accuracy(model) > 0.9
    assert abs(accuracy(small) - accuracy(model)) <= 0.01
    integers = [value for value in small.state_dict().values() if value.dtype == torch.int8]
    assert sum(value.numel() for value in integers) == sum(p.numel() for p in model.parameters() if p.dim() > 1)


@torch.no_grad()
def test_each_output_channel_has_its_own_scale() -> None:
    """With one scale for all, the last channel would have one step of the 127."""
    torch.manual_seed(0)
    model = nn.Conv2d(3, 8, 3, bias=False)
    model.weight.mul_(32 * 0.5 ** torch.arange(8.0).reshape(8, 1, 1, 1))
    items = torch.rand(8, 3, 6, 6)
    small = in_int8(model, items)
    weights = [value for value in small.state_dict().values() if value.dtype == torch.int8]
    assert [int(value.abs().amax()) for value in weights[0]] == [127] * 8
