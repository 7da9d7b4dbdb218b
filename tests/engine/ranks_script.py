"""Train the same student for 20 steps in several ways and save its weights: run by one process, and by two with torchrun."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from limbeck.core.actors import frozen, trained
from limbeck.core.teachers import Ensemble
from limbeck.core.terms import Term
from limbeck.data import Dataset, Items
from limbeck.engine import Optimizer, Run, Settings, Stage, Update, steps
from limbeck.objectives import Dist, HardTargets, Hint, RKDAngle, RKDDistance, SimilarityPreserving, SoftTargets
from limbeck.utils import distributed


def net(width: int, seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, width), nn.LayerNorm(width), nn.Tanh(), nn.Linear(width, 4))


def itemwise() -> list[Term]:
    return [Term(HardTargets()), Term(SoftTargets()), Term(Hint(), student="0", teacher="0")]


def relational() -> list[Term]:
    relations = [Term(kind(), student="0", teacher="0", weight=w) for kind, w in ((RKDAngle, 2), (RKDDistance, 1))]
    return [*itemwise(), *relations, Term(SimilarityPreserving(), student="0", teacher="0", weight=30), Term(Dist())]


def weighed() -> list[Term]:
    """By weighers that compare the items of a batch, or remember their mean."""
    trusted = Ensemble(["teacher", "second", "third"], by="agreement")
    dealt = Ensemble(["teacher", "second", "third"], by={"by_uncertainty": {"soft": False}})
    chosen = {"most_uncertain": {"share": 0.3}}
    return [Term(HardTargets()), Term(SoftTargets(), teacher=trusted, item_weight=chosen), Term(SoftTargets(), teacher=dealt)]


def main(folder: Path) -> None:
    distributed.initialize()
    torch.manual_seed(0)
    x, y = torch.randn(128, 6), torch.arange(128) % 4
    y[::5] = -100  # ranks and pieces hold different numbers of labels
    items = Items.from_tensors(x, y)
    for name, terms, pieces, clip in (
        ("itemwise", itemwise, 1, None),
        ("itemwise-accumulated", itemwise, 4, None),
        ("relational", relational, 1, None),
        ("relational-accumulated", relational, 2, 1.0),
        ("weighed", weighed, 1, None),
    ):
        student = net(8, seed=distributed.rank() + 1)  # the ranks start apart: the run must make them agree
        settings = Settings(progress=False, accumulate=pieces, clip=clip, log_every=5, trackers=())
        stage = Stage([Update(terms())], steps(20), Optimizer("sgd", lr=0.05, options={"momentum": 0.9}))
        teachers = {name: frozen(net(16, seed=seed)) for seed, name in enumerate(("teacher", "second", "third"), 9)}
        actors = {"student": trained(student), **teachers}
        log = folder / f"{name}-{distributed.world_size()}.jsonl"
        run = Run(actors, [stage], source=Dataset(items, batch_size=32), settings=settings, log=log)
        run.fit()
        criterion = run.updates[0].criterion
        state = {**student.state_dict(), **{f"criterion.{k}": v for k, v in criterion.state_dict().items()}}
        save_file(
            {k: v.contiguous() for k, v in state.items()},
            folder / f"{name}-{distributed.world_size()}-{distributed.rank()}.safetensors",
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    distributed.exit_process(0)
