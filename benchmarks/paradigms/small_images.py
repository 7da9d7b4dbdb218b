"""Small networks on small images, trained once for each (arm, seed): what each test image's prediction was is kept in a folder.

A benchmark that is stopped goes on where it was. One thread, so that several can run beside each other; with the environment
variable LIMBECK_LOCK they take turns by a file of this name.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from limbeck.core.actors import Actor, frozen, trained
from limbeck.core.source import Source
from limbeck.core.terms import Term
from limbeck.data import Dataset, Items, load_items
from limbeck.engine import Optimizer, Run, Settings, Stage, Update, steps
from limbeck.models.weights import load_weights, save_weights
from limbeck.objectives import HardTargets
from limbeck.tasks import Classification
from limbeck.teacher_cache import CacheConfig, TeacherQuery, choose_codecs, fill_cache, open_cache

SETTINGS = Settings(progress=False, device="cpu", threads=1, trackers=())
DECODED = Path("runs/benchmarks/decoded")
Builder = Callable[[], nn.Module]


def load(name: str, split: str) -> Items:
    """A data set of `$LIMBECK_DATA/data`, images of 10 classes; what was decoded is kept. Or digits of 8 × 8."""
    if name == "digits":
        return load_items("digits", split=split)
    kept = DECODED / f"{name}-{split}.safetensors"
    if not kept.exists():
        items = load_items(f"{os.environ['LIMBECK_DATA']}/data/{name}/{split}.parquet")
        kept.parent.mkdir(parents=True, exist_ok=True)
        save_file({"images": items.fetch(torch.arange(len(items))), "labels": items.target}, kept)
    found = load_file(kept)
    return Items.from_tensors(found["images"], found["labels"], classes=10)


def rows(items: Items, first: int, count: int, seed: int = 0) -> Items:
    """`count` of the items from number `first` of one random order: of one seed, ranges that do not overlap share no item."""
    order = torch.randperm(len(items), generator=torch.Generator().manual_seed(seed))
    return items.select(order[first : first + count])


@dataclass(frozen=True)
class Recipe:
    """How a network is trained.

    Attributes:
        count: steps.
        lr: of AdamW.
    """

    count: int
    batch_size: int = 128
    lr: float = 3e-3


class Bench:
    """Trainings of one benchmark, kept in a folder.

    Args:
        folder: where teachers and predictions are kept.
        test: what predictions are made for.
    """

    def __init__(self, folder: Path, test: Items) -> None:
        self.folder, self.test = folder, test
        self.caches: dict[str, Any] = {}
        self.open = contextlib.ExitStack()  # of the caches, until the process ends
        folder.mkdir(parents=True, exist_ok=True)

    def teacher(self, name: str, build: Builder, items: Items, recipe: Recipe, seed: int) -> nn.Module:
        """A network that has learned the labels of these items."""
        model, path = seeded(build, seed), self.folder / f"{name}.safetensors"
        if path.exists():
            load_weights(model, path)
        else:
            with turn():
                fit(trained(model), {}, [Term(HardTargets())], items, recipe, seed)
            save_weights(model, path)
        return model.eval()

    def right(
        self,
        arm: str,
        seed: int,
        build: Builder,
        terms: Callable[[], Sequence[Term]],
        items: Items | Source,
        recipe: Recipe,
        teachers: Mapping[str, nn.Module] | None = None,
        balance: Any = None,
    ) -> np.ndarray:
        """Which test items a student of this arm gets right, `[items]`; it is trained if it was not before."""
        path = self.folder / f"{arm}-{seed}.npy"
        if not path.exists():
            model = seeded(build, seed)
            with turn():
                others = {name: self.cached(teacher, items) for name, teacher in (teachers or {}).items()}
                fit(trained(model), others, terms(), items, recipe, seed, balance)
            np.save(path, answers(model, self.test).numpy())
            print(f"{arm} seed {seed}: {100 * self.accuracy(np.load(path)):.2f} %", flush=True)
        return self.scores(np.load(path))

    def cached(self, teacher: nn.Module, items: Items | Source) -> Actor:
        """A frozen teacher whose outputs on these items are computed once."""
        if isinstance(items, Source):
            return frozen(teacher)
        key = f"cache-{items.fingerprint()[:12]}-{weights_fingerprint(teacher)}"
        if key not in self.caches:
            query = TeacherQuery(frozen(teacher), Dataset(items, 256, view_count=1, view_seed=0), ["logits"], [], None)
            codecs = choose_codecs(query, CacheConfig())
            fill_cache(query, self.folder / key, codecs, lambda done, total: None)
            cache = open_cache(query, CacheConfig(strict=True), self.folder / key, codecs)
            self.caches[key] = self.open.enter_context(cache)
        return frozen(teacher, cache=self.caches[key])

    def scores(self, predicted: np.ndarray) -> np.ndarray:
        """1 where a prediction is right."""
        return (predicted == self.test.target.numpy()).astype(np.float64)

    def accuracy(self, predicted: np.ndarray) -> float:
        return float(self.scores(predicted).mean())


@contextlib.contextmanager
def turn() -> Iterator[None]:
    """Waits until no other benchmark with the same LIMBECK_LOCK trains."""
    if (name := os.environ.get("LIMBECK_LOCK")) is None:
        yield
        return
    import fcntl

    with open(name, "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def weights_fingerprint(model: nn.Module) -> str:
    digest = hashlib.blake2b(digest_size=6)
    for tensor in model.state_dict().values():
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()


def seeded(build: Builder, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return build()


def fit(
    student: Actor,
    others: Mapping[str, Actor],
    terms: Sequence[Term],
    items: Items | Source,
    recipe: Recipe,
    seed: int,
    balance: Any = None,
) -> None:
    source = items if isinstance(items, Source) else Dataset(items, recipe.batch_size, view_count=1, view_seed=0)
    stage = Stage([Update(terms, balance=balance)], steps(recipe.count), Optimizer("adamw", recipe.lr, "cosine"))
    Run({"student": student, **others}, [stage], source=source, seed=seed, settings=SETTINGS).fit()


def answers(model: nn.Module, items: Items) -> Tensor:
    """The predicted class of each item."""
    return Classification().outputs(model.eval(), items).argmax(-1)
