"""Measures steps of optimizers as the engine takes them, in one fused kernel, beside those of torch's defaults on a CPU.

    OMP_NUM_THREADS=1 python -m benchmarks.real_sizes optimizers

The weights are those of a perceptron, a ResNet and an encoder of Transformers, all with gradients. Both ways take turns.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from benchmarks.bars import record
from benchmarks.real_sizes.steps import COMMAND as STEPS
from benchmarks.real_sizes.steps import STUDENT, TOPIC, perceptron
from benchmarks.real_sizes.timing import median_with_interval, take_turns
from limbeck import models
from limbeck.engine import Optimizer
from limbeck.engine.fused_kernels import take_step

COMMAND, TURNS = STEPS.replace("steps", "optimizers"), 30
OFF = torch.amp.GradScaler("cpu", enabled=False)
BERT = {"model_type": "bert", "vocab_size": 8000, "hidden_size": 312, "num_hidden_layers": 4, "num_attention_heads": 12,
    "intermediate_size": 1200}  # fmt: skip
NETWORKS: dict[str, tuple[Callable[[], nn.Module], int]] = {  # and the steps of a turn
    "perceptron": (lambda: perceptron(STUDENT), 200),
    "ResNet-20": (lambda: models.get("resnet_cifar", depth=20), 50),
    "TinyBERT-4": (lambda: models.get("transformers", task="AutoModel", config=BERT), 5),
}
OPTIONS = {"sgd": {"momentum": 0.9}, "adamw": {}}


def turn(build: Callable[[], nn.Module], name: str, steps: int, *, fused: bool) -> Callable[[], object]:
    parameters = list(build().parameters())
    for parameter in parameters:
        parameter.grad = torch.randn_like(parameter)
    options = OPTIONS[name] if fused else {**OPTIONS[name], "fused": False}
    optimizer = Optimizer(name, lr=1e-4, options=options).build(parameters)

    def run() -> None:
        for _ in range(steps):
            take_step(optimizer, OFF) if fused else optimizer.step()

    return run


def main() -> None:
    for network, (build, steps) in NETWORKS.items():
        for name in OPTIONS:
            both = {way: turn(build, name, steps, fused=way == "fused") for way in ("fused", "plain")}
            taken = take_turns(both, TURNS)
            value, ci95 = median_with_interval([a / b for a, b in zip(taken["fused"], taken["plain"], strict=True)])
            note = "; ".join(f"{way}: {1e3 * median_with_interval(each)[0] / steps:.3f} ms" for way, each in taken.items())
            figure = f"step of {name} on a {network}, fused ÷ torch's default"
            print(f"{figure}: {value:.2f} [{ci95[0]:.2f}, {ci95[1]:.2f}]; {note}", flush=True)
            data = f"weights and gradients in memory, one thread, {TURNS} turns of {steps} steps in processor time"
            record(TOPIC, figure, "< 1", value, ci95, ci95[1] < 1, COMMAND, data, [0], note)


if __name__ == "__main__":
    main()
