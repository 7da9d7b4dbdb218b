"""Metric, latency and differences of models and exported files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.core.model_io import call_model
from limbeck.data import Items
from limbeck.evaluation import Predictions, interval
from limbeck.evaluation.model_cost import Latency, latency
from limbeck.evaluation.statistics import Interval
from limbeck.evaluation.verdict_builder import is_share, value_of
from limbeck.export.base import Runner
from limbeck.export.check import Inputs
from limbeck.tasks import Task

RUNS = 100


class RunnerModule(nn.Module):
    """Wraps a `Runner` as a module, so that files are measured by the functions for models."""

    def __init__(self, runner: Runner) -> None:
        super().__init__()
        self.runner = runner

    def forward(self, inputs: Tensor | None = None, **tokens: Tensor) -> Tensor:
        return self.runner(tokens if inputs is None else inputs)


class WithFixedInputs(nn.Module):
    """Ignores its argument and calls the model with fixed inputs, so that models with other tokenizers can be interleaved."""

    def __init__(self, model: nn.Module, inputs: Inputs) -> None:
        super().__init__()
        self.model, self.inputs = model, inputs

    def forward(self, ignored: Tensor) -> Any:
        return call_model(self.model, self.inputs)


def metric_of(outputs: Tensor, items: Items, task: Task) -> tuple[float, Interval]:
    """Returns the metric of the outputs for `items` and its 95 % interval over items."""
    parts = Predictions.of(task, [outputs], items).item_statistics(task.metric)
    return interval(parts, value=value_of(parts, task.metric), share=is_share(task.metric))


def latencies(
    models: Mapping[str, Runner | nn.Module], inputs: Mapping[str, Inputs], *, runs: int = RUNS
) -> dict[str, Latency]:
    """Latency of one call in milliseconds on one thread, each model with its own inputs; the runs are interleaved."""
    modules = {name: RunnerModule(each) if isinstance(each, Runner) else each for name, each in models.items()}
    return latency({name: WithFixedInputs(each, inputs[name]) for name, each in modules.items()}, torch.zeros(1), runs=runs)


def describe_inputs(inputs: Inputs) -> str:
    """Describes one item: "a text of 22 tokens", "an input of 3×32×32"."""
    if isinstance(inputs, Mapping):
        return f"a text of {next(iter(inputs.values())).shape[1]} tokens"
    return f"an input of {'×'.join(map(str, inputs.shape[1:]))}"


def first(inputs: Inputs, count: int = 1) -> Inputs:
    """Returns the first `count` items of a batch."""
    if isinstance(inputs, Mapping):
        return {name: part[:count] for name, part in inputs.items()}
    return inputs[:count]


def noise(shape: Sequence[int]) -> Tensor:
    """Returns one random item, for `Runner.like`."""
    return torch.rand(1, *shape)
