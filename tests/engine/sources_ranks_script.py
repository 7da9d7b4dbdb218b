"""Train on a pool of generated inputs and on kept samples, by one process or by two; save weights and state of the sources."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from limbeck.core.actors import Actor, frozen, trained
from limbeck.core.source import Source
from limbeck.core.terms import Term
from limbeck.data.sources import Generated, OwnSamples, Pool
from limbeck.engine import Optimizer, Run, Settings, Stage, Update, steps
from limbeck.objectives import LogitMSE, SoftTargets
from limbeck.utils import distributed
from tests.data.sources.language_models import gpt2, llama

PROMPTS = [[3, 4, 5], [6], [7, 8, 9, 10, 11], [12, 13], [14, 15, 16, 17], [18]]


def layers(inputs: int, width: int, outputs: int, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(inputs, width), nn.Tanh(), nn.Linear(width, outputs))


def bank() -> tuple[dict[str, Actor], list[Update]]:
    noise = Generated("generator", batch_size=8, noise=3)
    actors = {"teacher": frozen(layers(6, 16, 4, 1)), "student": trained(layers(6, 8, 4, 2))}
    adversary = Update([Term(LogitMSE(), weight=-1)], trains="generator", source=noise)
    imitation = Update([Term(SoftTargets(temperature=1))], source=Pool(noise, size=24, keep="random", batch_size=16))
    return {**actors, "generator": trained(layers(3, 8, 6, 3))}, [adversary, imitation]


def samples() -> tuple[dict[str, Actor], list[Update]]:
    own = OwnSamples("student", PROMPTS, batch_size=4, new_tokens=5, stop=range(20, 25), keep=8)
    return {"student": trained(llama(1)), "teacher": frozen(gpt2(2))}, [Update([Term(SoftTargets(temperature=1))], source=own)]


def tensors(source: Source) -> dict[str, Tensor]:
    state = source.state_dict()
    found = (
        state["memory"]["columns"]["inputs"] if isinstance(source, Pool) else dict(zip("abc", state["columns"], strict=True))
    )
    return {f"source.{name}": tensor for name, tensor in found.items()}


def main(folder: Path) -> None:
    distributed.initialize()
    for name, make, pieces in (
        ("bank", bank, 1),
        ("bank-pieces", bank, 2),
        ("samples", samples, 1),
        ("samples-pieces", samples, 2),
    ):
        actors, updates = make()
        settings = Settings(progress=False, device="cpu", accumulate=pieces, trackers=())
        run = Run(actors, [Stage(updates, steps(7), Optimizer("sgd", lr=0.05))], settings=settings).fit()
        state = {**run.actors["student"].model.state_dict(), **tensors(run.sources[-1])}
        own = {key: tensor.clone().contiguous() for key, tensor in state.items()}
        save_file(own, folder / f"{name}-{distributed.world_size()}-{distributed.rank()}.safetensors")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    distributed.exit_process(0)
