"""The teacher's answers as folders that a user builds, looks at, verifies and clears up."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress
from torch import Tensor

from limbeck.core.model_io import LOGITS
from limbeck.core.signals import AnySignal, TopK
from limbeck.recipe import Recipe, read_yaml
from limbeck.runs.folder import RECIPE, TEACHER, RunError, lock_run
from limbeck.runs.teacher import build_teacher, load_or_train_teacher
from limbeck.teacher_cache import (
    Store,
    StoreInfo,
    TeacherQuery,
    TokenSignals,
    check_store,
    fill_cache,
    find_stores,
    prune_store,
    read_manifest,
    store_info,
)
from limbeck.utils import distributed

BATCH = 256
NO_CACHE = "keeps no answers; add cache: auto to it, or say where they go with --out"


@dataclass(frozen=True)
class CacheCheck:
    """A store's answers beside the teacher's own, asked again.

    Attributes:
        samples: how many were compared.
        max_error: largest difference of a value, as a share of the largest value.
        agreement: of the logits, the share with the same largest one; None elsewhere.
        damaged: what the checksums say against its files.
    """

    name: str
    samples: int
    max_error: float
    agreement: float | None
    damaged: list[str]

    @property
    def passed(self) -> bool:
        """Stored answers are rounded, and a teacher in bfloat16 answers a little differently in another batch."""
        return not self.damaged and self.max_error < 0.05 and (self.agreement is None or self.agreement >= 0.99)


def build_cache(recipe: Recipe, out: Path | None = None, *, console: Console | None = None, batch_size: int = 256) -> Path:
    """Ask the recipe's teacher about all training items, in every view, and keep the answers; returns where.

    Stopped, it goes on with the same call. Under `torchrun` the ranks share the work.
    """
    distributed.initialize()
    if out is not None:
        cache = (recipe.cache.model_dump() if recipe.cache else {}) | {"path": str(out)}
        recipe = Recipe.from_dict(recipe.model_dump(mode="json") | {"cache": cache})
    if recipe.cache is None:
        raise RunError(f"recipe {recipe.name} {NO_CACHE}")
    everything, seen, _, _ = recipe.load()
    folder = Path("runs") / recipe.name
    with lock_run(out or folder):
        teacher = load_or_train_teacher(recipe, build_teacher(recipe, everything), everything, out or folder)
    job = recipe.distillation(teacher, seen, folder=folder, resume=True)
    plan = job.plan_cache(seen)
    quiet = console is None or distributed.rank() > 0
    progress = Progress(*Progress.get_default_columns(), MofNCompleteColumn(), console=console, disable=quiet)
    with closing(plan), progress as bar:
        task = bar.add_task("the teacher's answers", total=None)
        fill_cache(
            plan.query,
            plan.folder,
            plan.codecs,
            lambda done, total: bar.update(task, completed=done, total=total),
            batch_size,
        )
    save_cache_recipe(recipe, plan.folder, out or folder)
    return plan.folder


def save_cache_recipe(recipe: Recipe, cache: Path, folder: Path) -> None:
    """Writes the recipe that computes these teacher outputs into the cache, for `limbeck cache verify`."""
    if distributed.rank() == 0 and not (cache / RECIPE).exists():
        content = recipe.model_dump(mode="json")
        content["cache"] |= {"path": str(cache)}
        if recipe.teacher.training is not None:
            weights = (folder / TEACHER / "model.safetensors").resolve()
            content["teacher"] |= {"weights": str(weights), "training": None}
        Recipe.from_dict(content, files=False).write(cache / RECIPE)


def verify_cache(folder: Path, samples: int = 256, *, seed: int = 0) -> list[CacheCheck]:
    """Check every checksum under `folder`, and ask the teacher again about `samples` random answers of each store.

    Raises:
        RunError: no store there, or none that remembers its recipe.
        IdentityError: the recipe's teacher, views or data are no longer those that the answers came from.
    """
    found = _stores(folder)
    damaged = {name: check_store(place) for name, place in found.items()}
    compared = [CacheCheck(name, 0, 0.0, None, damage) for name, damage in damaged.items() if damage or not samples]
    whole = {name: place for name, place in found.items() if not damaged[name]} if samples else {}
    for recipe, names in _by_recipe(whole).items():
        with closing(_ask_again(recipe, {name: whole[name] for name in names})) as asked:
            for name in names:
                compared.append(_compare(name, Store.open(whole[name], expect=asked.identity), asked, samples, seed))
    return compared


def describe_cache(folder: Path) -> dict[str, StoreInfo]:
    """What the stores under a folder hold, by tap."""
    return {tap: store_info(place) for tap, place in _stores(folder).items()}


def prune_cache(folder: Path, *, remove: bool) -> list[Path]:
    """What lies in the stores under a folder without being named by their manifests."""
    return [path for place in _stores(folder).values() for path in prune_store(place, remove)]


def _stores(folder: Path) -> dict[str, Path]:
    found = find_stores(folder) if folder.is_dir() else {}
    if not found:
        raise RunError(f"{folder}: no store of answers here; build one with: limbeck cache build RECIPE --out {folder}")
    return found


def _by_recipe(stores: Mapping[str, Path]) -> dict[Path, list[str]]:
    """The stores by the recipe that asks for their answers, which lies with each or with all of one teacher."""
    found: dict[Path, list[str]] = {}
    for name, place in stores.items():
        written = next((folder / RECIPE for folder in (place, place.parent) if (folder / RECIPE).exists()), None)
        if written is None:
            raise RunError(f"{place}: no {RECIPE} lies with these answers, so there is no teacher to ask; use --sample 0")
        found.setdefault(written, []).append(name)
    return found


def _ask_again(written: Path, stores: Mapping[str, Path]) -> TeacherQuery:
    """The recipe's teacher, heard at the taps that the stores hold, whichever runs filled them."""
    recipe = Recipe.from_dict(read_yaml(written.read_text(encoding="utf-8")), str(written))
    everything, seen, _, _ = recipe.load()
    taps = sorted({tap for place in stores.values() for tap in read_manifest(place).codecs})
    with closing(recipe.distillation(build_teacher(recipe, everything), seen).plan_cache(seen)) as plan:
        return replace(plan.query, taps=taps)


def _compare(name: str, store: Store, asked: TeacherQuery, samples: int, seed: int) -> CacheCheck:
    rows, views = _some_answers(store, asked, samples, seed)
    if not len(rows):
        return CacheCheck(name, 0, 0.0, None, [])
    reading = store.read(asked.items.keys[rows], views)
    said = [
        asked.run(asked.source.batch_of_views(*part))
        for part in zip(torch.split(rows, BATCH), torch.split(views, BATCH), strict=True)
    ]
    pairs = {tap: (signal, torch.cat([_dense(part[tap]) for part in said])) for tap, signal in reading.signals.items()}
    max_error = max(_difference(stored, live) for stored, live in pairs.values())
    agreement = _agreement(*pairs[LOGITS]) if LOGITS in pairs else None
    return CacheCheck(name, len(rows), max_error, agreement, [])


def _some_answers(store: Store, asked: TeacherQuery, samples: int, seed: int) -> tuple[Tensor, Tensor]:
    """Rows of random items, and the views in which the store knows them."""
    draw, keys = torch.Generator().manual_seed(seed), asked.items.keys
    there = torch.stack([store.has(keys, view) for view in range(store.views)], 1).nonzero()
    chosen = there[torch.randperm(len(there), generator=draw)[:samples]]
    return chosen[:, 0], chosen[:, 1]


def _entries(signal: AnySignal) -> AnySignal:
    """What is said of each item, or of each token."""
    return signal.signal if isinstance(signal, TokenSignals) else signal


def _dense(signal: AnySignal) -> Tensor:
    entries = _entries(signal)
    assert isinstance(entries, Tensor)
    return entries.float().cpu()


def _difference(stored: AnySignal, live: Tensor) -> float:
    """The largest one: of probabilities as it is, of other values as a share of the largest."""
    stored = _entries(stored)
    if isinstance(stored, TopK):
        return float((live.softmax(-1).gather(-1, stored.indices.long()) - stored.values).abs().max())
    return float((_dense(stored) - live).abs().max() / live.abs().max().clamp_min(1e-12))


def _agreement(stored: AnySignal, live: Tensor) -> float:
    stored = _entries(stored)
    top = stored.indices[..., 0] if isinstance(stored, TopK) else _dense(stored).argmax(-1)
    return float((top == live.argmax(-1)).double().mean())
