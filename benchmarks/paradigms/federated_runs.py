"""Trainings of a federation, kept in files, and how their figures are recorded."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.bars import record
from limbeck.data import Items
from limbeck.integrations.flower.client import outputs_of
from limbeck.integrations.flower.grid import InProcessGrid
from limbeck.integrations.flower.server import carry_out
from limbeck.integrations.flower.simulation import simulated_grid
from limbeck.integrations.flower.strategy import FederatedStrategy
from limbeck.recipe.federation import FederatedItems, Federation
from limbeck.utils.atomic_files import write_text_atomic

FOLDER = Path("runs/benchmarks/federated")
COMMAND = "OMP_NUM_THREADS=1 python -m benchmarks.paradigms.federated"
SEEDS = (1, 2, 3)
CNN = {"model": "plain_cnn", "args": {"width": 8, "hidden": 32, "size": 14}}
DATA = "mnist at 14 × 14 pixels: 1,872 images of ten clients, 1,008 public ones without labels, 320 for validation"
Grids = Callable[[Federation, FederatedItems], InProcessGrid]


def recipe(
    method: Any,
    alpha: float,
    rounds: int,
    models: Mapping[str, Any],
    *,
    epochs: int = 10,
    limit: int = 3200,
    size: int = 14,
    **federated: Any,
) -> Federation:
    """Ten clients of MNIST, four of which take part in a round; `limit` images of `size` pixels are theirs and the server's."""
    folder = "${LIMBECK_DATA}/data/mnist"
    data = {
        "train": {"path": f"{folder}/train.parquet", "limit": limit, "size": size},
        "test": {"path": f"{folder}/test.parquet", "size": size, "limit": 2000},
        "validation": 0.1,
    }
    own = {"method": method, "public": 0.35, "clients": 10, "fraction": 0.4, "rounds": rounds, "timeout": 60.0}
    training = {"epochs": epochs, "batch_size": 64, "threads": 1, "device": "cpu",
        "optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.9, "schedule": 1.0}}  # fmt: skip
    described = {"name": "benchmark", "data": data, "training": training, **models}
    described["federated"] = {**own, "partition": {"dirichlet": {"alpha": alpha}}, **federated}
    return Federation.from_dict(described)


# --- trainings -----------------------------------------------------------------------------------------------------------


def trained(name: str, wanted: Federation, seed: int, grid: Grids = simulated_grid) -> dict[str, Any]:
    """The curve of one training, kept in a file; it goes on where it was stopped."""
    file = FOLDER / name / f"seed-{seed}.json"
    if file.exists():
        return dict(json.loads(file.read_text()))
    method = next(iter(wanted.federated.method))
    items = wanted.simulated(seed)
    strategy = FederatedStrategy(wanted, items, method, arm="student", seed=seed)
    kept = file.with_suffix(".right.json")
    right = dict(json.loads(kept.read_text())) if kept.exists() else {}

    def after_round(done: FederatedStrategy) -> None:
        number = done.rounds[-1].number
        right[str(number)] = {group: correct(wanted, model, items.test).tolist() for group, model in done.models.items()}
        write_text_atomic(kept, json.dumps(right))
        shown = {group: round(100 * float(np.mean(found)), 1) for group, found in right[str(number)].items()}
        print(f"{name}, seed {seed}, round {number}: {shown} {done.rounds[-1].left_out or ''}", flush=True)

    file.parent.mkdir(parents=True, exist_ok=True)
    carry_out(strategy, grid(wanted, items), folder=file.parent / f"seed-{seed}", resume=True, on_round=after_round)
    accuracy = {number: {group: float(np.mean(found)) for group, found in by.items()} for number, by in right.items()}
    result = {
        "accuracy": [accuracy[str(each.number)] for each in strategy.rounds],
        "bytes": [each.bytes_down + each.bytes_up for each in strategy.rounds],
        "left_out": [each.left_out for each in strategy.rounds],
        "right": right[str(strategy.rounds[-1].number)],
        "public_bytes": public_bytes(items),
    }
    write_text_atomic(file, json.dumps(result))
    kept.unlink()
    return result


def public_bytes(items: FederatedItems) -> int:
    """The public images as zlib compresses them, without loss; weights of 32-bit floats it would hardly make smaller."""
    if items.public is None:
        return 0
    images = items.public.fetch(torch.arange(len(items.public)))
    return len(zlib.compress(images.contiguous().numpy().tobytes(), 9))


def correct(wanted: Federation, model: torch.nn.Module, items: Items) -> Tensor:
    """Which items are right, 0 or 1."""
    known = items.labelled()
    return (outputs_of(wanted, model, known).argmax(-1) == known.target).int()


def curve(run: Mapping[str, Any], group: str = "student") -> np.ndarray:
    return np.array([each[group] for each in run["accuracy"]])


def right(runs: Sequence[Mapping[str, Any]], group: str = "student") -> np.ndarray:
    """Which test items are right after the last round, `[seeds, items]`."""
    return np.array([run["right"][group] for run in runs], dtype=float)


def first_reach(values: np.ndarray, wanted: float) -> int | None:
    """The first round, from 1, that is as good."""
    found = np.flatnonzero(values >= wanted)
    return int(found[0]) + 1 if len(found) else None


def keep(
    figure: str,
    bar: str,
    value: float,
    ci95: Sequence[float] | None,
    met: bool,
    part: str,
    data: str,
    note: str,
    seeds: Sequence[int] = SEEDS,
) -> None:
    shown = "" if ci95 is None else f" [{ci95[0]:.4g}, {ci95[1]:.4g}]"
    print(f"{figure}: {value:.4g}{shown} ({bar}: {'met' if met else 'not met'}); {note}", flush=True)
    record("privacy", figure, bar, value, ci95, met, f"{COMMAND} {part}", data, seeds, note)


def percent(values: Sequence[float] | np.ndarray) -> str:
    return ", ".join(f"{100 * value:.1f}" for value in values)
