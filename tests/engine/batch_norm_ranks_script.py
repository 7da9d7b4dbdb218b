"""Networks with BatchNorm, trained by one process and by several: their weights, and single layers with their gradients."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from limbeck.core.actors import frozen, trained
from limbeck.core.terms import Term
from limbeck.data import Dataset, Items
from limbeck.data.sources import Generated
from limbeck.engine import Optimizer, Run, Settings, Stage, Update, steps
from limbeck.engine.sync_batch_norm import synchronized_batch_norm
from limbeck.objectives import Disagreement, HardTargets, Hint, SoftTargets
from limbeck.utils import distributed

SHARES = {1: [slice(0, 7)], 2: [slice(0, 5), slice(5, 7)]}  # of the items: ranks hold different numbers


def net(width: int, seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    first = [nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.ReLU()]
    second = [nn.Conv2d(width, width, 3), nn.BatchNorm2d(width, affine=False), nn.Flatten()]
    return nn.Sequential(*first, *second, nn.Linear(4 * width, 8), nn.BatchNorm1d(8, momentum=None), nn.Linear(8, 4)).double()


def layer(shape: tuple[int, ...], affine: bool) -> dict[str, Tensor]:
    """Output, running statistics and gradients of one layer, gathered from all ranks."""
    torch.manual_seed(3)
    x, slope = 100 + torch.randn(shape, dtype=torch.float64), torch.randn(shape, dtype=torch.float64)
    own = SHARES[distributed.world_size()][distributed.rank()]
    inputs = x[own].clone().requires_grad_()
    weight, bias = (torch.randn(shape[1], dtype=torch.float64).requires_grad_() if affine else None for _ in range(2))
    mean, variance = torch.zeros(shape[1], dtype=torch.float64), torch.ones(shape[1], dtype=torch.float64)
    with synchronized_batch_norm():
        output = F.batch_norm(inputs, mean, variance, weight, bias, True, 0.1, 1e-5)
    (output.sin() * slope[own]).sum().backward()
    assert inputs.grad is not None
    parameters = {"weight": weight, "bias": bias} if affine else {}
    distributed.all_reduce_gradients([p for p in parameters.values() if p is not None])
    found = {"mean": mean, "variance": variance, **{name: p.grad for name, p in parameters.items() if p is not None}}
    return {**found, "output": _gather(output.detach(), shape), "gradient": _gather(inputs.grad, shape)}  # type: ignore[dict-item]


def _gather(rows: Tensor, shape: tuple[int, ...]) -> Tensor:
    whole = torch.zeros(shape, dtype=rows.dtype)
    whole[SHARES[distributed.world_size()][distributed.rank()]] = rows
    return distributed.all_reduce_sum(whole)


def train(folder: Path, name: str, **settings: object) -> None:
    torch.manual_seed(0)
    x, y = torch.rand(128, 3, 6, 6, dtype=torch.float64), torch.arange(128) % 4
    items = Items.from_tensors(x, y, images=False)
    student = net(4, seed=distributed.rank() + 1)
    options = Settings(progress=False, log_every=5, trackers=(), **settings)  # type: ignore[arg-type]
    terms = [Term(HardTargets()), Term(SoftTargets()), Term(Hint(), student="3", teacher="3", adapter="conv_bn")]
    stage = Stage([Update(terms)], steps(10), Optimizer("sgd", lr=0.05, options={"momentum": 0.9}))
    actors = {"student": trained(student), "teacher": frozen(net(6, seed=9))}
    before = [type(module) for module in student.modules()]
    run = Run(actors, [stage], source=Dataset(items, batch_size=32), settings=options, log=folder / f"{name}.jsonl").fit()
    assert [type(module) for module in student.modules()] == before
    criterion = {f"criterion.{key}": value for key, value in run.updates[0].criterion.state_dict().items()}
    state = {key: value.contiguous() for key, value in {**student.state_dict(), **criterion}.items()}
    save_file(state, folder / f"{name}-{distributed.world_size()}-{distributed.rank()}.safetensors")


def train_on_made_inputs(folder: Path) -> None:
    """A generator that normalizes its batches in evaluation mode too, and a student without such layers."""
    torch.manual_seed(5)
    norm = nn.BatchNorm1d(6, track_running_stats=False)
    generator, teacher = nn.Sequential(nn.Linear(3, 6), norm, nn.Linear(6, 6)).double(), nn.Linear(6, 4).double()
    student = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4)).double()
    noise = Generated("generator", batch_size=8, noise=3)
    seek = Update([Term(Disagreement(), weight=-1.0)], trains="generator", source=noise)
    learn = Update([Term(Disagreement())], source=noise, repeat=2, fresh=True)
    actors = {"student": trained(student), "generator": trained(generator), "teacher": frozen(teacher)}
    settings = Settings(progress=False, device="cpu", trackers=())
    Run(actors, [Stage([seek, learn], steps(5), Optimizer("sgd", lr=0.05))], settings=settings).fit()
    save_file(student.state_dict(), folder / f"made-{distributed.world_size()}-{distributed.rank()}.safetensors")


def main(folder: Path) -> None:
    distributed.initialize()
    for name, shape, affine in (("1d", (7, 3), True), ("2d", (7, 3, 2, 5), True), ("plain", (7, 3, 4), False)):
        save_file(layer(shape, affine), folder / f"layer-{name}-{distributed.world_size()}-{distributed.rank()}.safetensors")
    train(folder, "whole")
    train(folder, "accumulated", accumulate=2)
    train(folder, "apart", sync_batch_norm=False)
    train_on_made_inputs(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    distributed.exit_process(0)
