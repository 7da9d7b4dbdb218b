"""Builds, describes, verifies and prunes folders of cached teacher outputs."""

from __future__ import annotations

import contextlib
import copy
import functools
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TaskID
from torch import Tensor, nn

from limbeck.core.model_io import LOGITS
from limbeck.core.signals import AnySignal, TopK
from limbeck.data import Items
from limbeck.experiment.distillation import Distillation
from limbeck.recipe import Recipe, read_fields
from limbeck.runs.folder import RECIPE, TEACHER, RunError, lock_run
from limbeck.runs.resume import prepare_folder
from limbeck.runs.teacher import build_pretrained, check_model_trainings, load_or_train_teacher, model_folder
from limbeck.teacher_cache import (
    IncrementalStore,
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
from limbeck.utils.disk_full import explain_disk_full
from limbeck.utils.folder_lock import FolderLockError, lock_folder
from limbeck.utils.folder_names import child_folder
from limbeck.utils.terminal import shown

BATCH = 256
NO_CACHE = "has no cache; add cache: auto to it, or give a folder with --out"


@dataclass(frozen=True)
class CacheCheck:
    """Cached outputs of one store compared with outputs that the teacher computes again.

    Attributes:
        samples: how many were compared.
        max_error: largest difference of a value, as a share of the largest value.
        agreement: share of samples with the same largest logit; None if the store holds no logits.
        damaged: files whose checksums do not match, one line each.
    """

    name: str
    samples: int
    max_error: float
    agreement: float | None
    damaged: list[str]

    @property
    def passed(self) -> bool:
        """Whether the files are intact and the error small: stored outputs are rounded, and bfloat16 varies with the batch."""
        return not self.damaged and self.max_error < 0.05 and (self.agreement is None or self.agreement >= 0.99)

    def summary(self) -> str:
        """Returns the result in one line."""
        if self.damaged:
            return f"{len(self.damaged)} damaged {'file' if len(self.damaged) == 1 else 'files'}"
        if not self.samples:
            return "the checksums of all files match; no items were computed again"
        same = "" if self.agreement is None else f", same largest logit {100 * self.agreement:.1f} %"
        return f"{self.samples} items computed again, largest error {self.max_error:.2g} of the largest value{same}"


def build_cache(
    recipe: Recipe, out: Path | None = None, *, console: Console | None = None, batch_size: int = 256
) -> dict[str, Path]:
    """Computes and caches the outputs of the teacher, and of every other actor with a cache, for all training items in every
    view. Returns the folder of each cache, by actor.

    The same call continues a stopped build. Under `torchrun` the processes share the work.

    Args:
        out: the folder of the cache; of several, each is in a subfolder named after its actor.
    """
    distributed.initialize()
    if out is not None:
        recipe = _with_caches_in(recipe, out)
    if not _cached_actors(recipe):
        raise RunError(f"recipe {recipe.name} {NO_CACHE}")
    everything, seen, _, _ = recipe.load()
    if everything is None or seen is None:
        raise RunError(f"recipe {recipe.name} has no training data, of which outputs could be cached; name it in data.train")
    folder = child_folder(Path("runs"), recipe.name, "name")
    untrained = build_pretrained(recipe, everything)
    check_model_trainings(recipe, untrained, everything)
    _job(recipe, untrained, seen).check(seen)
    with lock_run(out or folder):
        if out is None and not (folder / RECIPE).exists():
            prepare_folder(recipe, folder, resume=True, force=False)  # so that the run finds the models that are trained here
        frozen = {
            name: load_or_train_teacher(recipe, model, everything, out or folder, name=name)
            for name, model in untrained.items()
        }
    job = _job(recipe, frozen, seen, folder)
    quiet = console is None or distributed.rank() > 0
    columns, found = (*Progress.get_default_columns(), MofNCompleteColumn()), {}
    with Progress(*columns, console=console, disable=quiet) as bar:
        for name in _cached_actors(recipe):
            task = bar.add_task(f"{shown(name)} outputs", total=None)
            with closing(job.plan_cache(seen, name)) as plan:
                fill_cache(plan.query, plan.folder, plan.codecs, functools.partial(_show, bar, task), batch_size)
            save_cache_recipe(recipe, plan.folder, out or folder, name)
            found[name] = plan.folder
    return found


def _show(bar: Progress, task: TaskID, done: int, total: int) -> None:
    bar.update(task, completed=done, total=total)


def _cached_actors(recipe: Recipe) -> list[str]:
    """The actors whose outputs are cached, the teacher first."""
    own = [name for name, spec in recipe.actors.items() if spec.cache is not None]
    return [*([] if recipe.cache is None else [TEACHER]), *own]


def _with_caches_in(recipe: Recipe, out: Path) -> Recipe:
    """Returns the recipe with its caches in a folder; without any, the teacher's."""
    names = _cached_actors(recipe) or [TEACHER]
    content = recipe.model_dump(mode="json")
    for name in names:
        spec = content if name == TEACHER else content["actors"][name]
        spec["cache"] = (spec["cache"] or {}) | {"path": str(out if len(names) == 1 else out / name)}
    return Recipe.from_dict(content)


def _job(recipe: Recipe, frozen: Mapping[str, nn.Module], seen: Items, folder: Path | None = None) -> Distillation:
    """Returns the distillation of a recipe with these frozen models."""
    job = recipe.distillation(frozen.get(TEACHER), seen, folder=folder, resume=True)
    for name, model in frozen.items():
        job.experiment.set_module(name, model)
    return job


def save_cache_recipe(recipe: Recipe, cache: Path, folder: Path, name: str = TEACHER) -> None:
    """Writes the recipe that computes these outputs into the cache, for `limbeck cache verify`. It has this cache alone.

    Args:
        folder: of the run, which holds the models that were trained before it.
        name: of the actor.
    """
    if distributed.rank() != 0 or (cache / RECIPE).exists() or name not in _cached_actors(recipe):
        return
    content = recipe.model_dump(mode="json")
    for other, spec in recipe.pretrained.items():
        own = content["teacher"] if other == TEACHER else content["actors"][other]
        if spec.training is not None:
            weights = (folder / model_folder(other) / "model.safetensors").resolve()
            own |= {"weights": str(weights), "training": None}
    for other in _cached_actors(recipe):
        own = content if other == TEACHER else content["actors"][other]
        own["cache"] = own["cache"] | {"path": str(cache)} if other == name else None
    with contextlib.suppress(FolderLockError), lock_folder(cache):  # in use: by a run beside this one, which writes it
        for draft in cache.glob(f".{RECIPE}.*"):  # of a killed process
            draft.unlink()
        with explain_disk_full(cache):
            Recipe.from_dict(content, files=False).write(cache / RECIPE)


def verify_cache(folder: Path, samples: int = 256, *, seed: int = 0) -> list[CacheCheck]:
    """Verifies every checksum under `folder`, and computes `samples` random outputs of each store again.

    Raises:
        RunError: the folder has no store, or a store without its recipe.
        IdentityError: the recipe's teacher, views or data differ from those of the cached outputs.
    """
    stores = _stores(folder)
    damaged = {name: check_store(path) for name, path in stores.items()}
    checks = [CacheCheck(name, 0, 0.0, None, damage) for name, damage in damaged.items() if damage or not samples]
    intact = {name: path for name, path in stores.items() if not damaged[name]} if samples else {}
    for recipe, names in _by_recipe(intact).items():
        with closing(_teacher_query(recipe, {name: intact[name] for name in names})) as query:
            for name in names:
                with contextlib.ExitStack() as stack:
                    checks.append(_compare(name, _open(intact[name], query, stack), query, samples, seed))
    return checks


def describe_cache(folder: Path) -> dict[str, StoreInfo]:
    """Returns the contents of the stores under a folder, by tap."""
    return {tap: store_info(place) for tap, place in _stores(folder).items()}


def prune_cache(folder: Path, *, remove: bool) -> list[Path]:
    """Returns the files in the stores under a folder that their manifests do not name, and deletes them if `remove` is set."""
    return [path for place in _stores(folder).values() for path in prune_store(place, remove)]


def _stores(folder: Path) -> dict[str, Path]:
    stores = find_stores(folder) if folder.is_dir() else {}
    if not stores:
        raise RunError(f"{folder}: no cached teacher outputs here; build them with: limbeck cache build RECIPE --out {folder}")
    return stores


def _by_recipe(stores: Mapping[str, Path]) -> dict[Path, list[str]]:
    """Groups the stores by the recipe that computes their outputs. It is in the folder of each store, or in its parent."""
    names: dict[Path, list[str]] = {}
    for name, place in stores.items():
        written = next((folder / RECIPE for folder in (place, place.parent) if (folder / RECIPE).exists()), None)
        if written is None:
            raise RunError(f"{place}: no {RECIPE} beside these outputs, so they cannot be computed again; use --sample 0")
        names.setdefault(written, []).append(name)
    return names


def _with_moved_models(content: dict[str, Any], cache: Path) -> dict[str, Any]:
    """Returns the fields of a cache's recipe with the models that were trained for it where they are now.

    They are in the folder of the cache, or in the one around it, and may have been moved with it.
    """
    content = copy.deepcopy(content)
    for name, spec in {TEACHER: content.get("teacher"), **(content.get("actors") or {})}.items():
        if isinstance(spec, dict) and isinstance(spec.get("weights"), str) and not Path(spec["weights"]).exists():
            places = (folder / model_folder(name) / "model.safetensors" for folder in (cache, cache.parent))
            spec["weights"] = next((str(place) for place in places if place.exists()), spec["weights"])
    return content


def _teacher_query(written: Path, stores: Mapping[str, Path]) -> TeacherQuery:
    """Returns a query of the recipe's teacher at the taps that the stores hold."""
    recipe = Recipe.from_dict(_with_moved_models(read_fields(written), written.parent), str(written))
    everything, seen, _, _ = recipe.load()
    if everything is None or seen is None:
        raise RunError(f"{written}: it names no training data, of which outputs could be computed again; use --sample 0")
    taps = sorted({tap for place in stores.values() for tap in read_manifest(place).codecs})
    (name,) = _cached_actors(recipe)
    job = _job(recipe, build_pretrained(recipe, everything), seen)
    with closing(job.plan_cache(seen, name)) as plan:
        return replace(plan.query, taps=taps)


def _open(place: Path, query: TeacherQuery, stack: contextlib.ExitStack) -> Store | IncrementalStore:
    """Opens a store, with the rows of its journal: a short training leaves all rows there."""
    store, manifest = Store.open(place, expect=query.identity), read_manifest(place)
    if not store_info(place).journal:
        return store
    whole = IncrementalStore(place, query.items.keys, manifest.views, manifest.codecs, manifest.identity, read_only=True)
    return stack.enter_context(whole)


def _compare(name: str, store: Store | IncrementalStore, query: TeacherQuery, samples: int, seed: int) -> CacheCheck:
    rows, views = _random_rows(store, query, samples, seed)
    if not len(rows):
        return CacheCheck(name, 0, 0.0, None, [])
    cached = store.read(query.items.keys[rows], views)
    computed = [
        query.run(query.source.batch_of_views(*part))
        for part in zip(torch.split(rows, BATCH), torch.split(views, BATCH), strict=True)
    ]
    pairs = {tap: (signal, torch.cat([_dense(part[tap]) for part in computed])) for tap, signal in cached.signals.items()}
    max_error = max(_difference(stored, live) for stored, live in pairs.values())
    agreement = _agreement(*pairs[LOGITS]) if LOGITS in pairs else None
    return CacheCheck(name, len(rows), max_error, agreement, [])


def _random_rows(store: Store | IncrementalStore, query: TeacherQuery, samples: int, seed: int) -> tuple[Tensor, Tensor]:
    """Returns rows of random items, and views of them that the store holds."""
    draw, keys = torch.Generator().manual_seed(seed), query.items.keys
    stored = torch.stack([store.has(keys, view) for view in range(read_manifest(store.folder).views)], 1).nonzero()
    chosen = stored[torch.randperm(len(stored), generator=draw)[:samples]]
    return chosen[:, 0], chosen[:, 1]


def _entries(signal: AnySignal) -> AnySignal:
    """Returns the tensor of a signal, with one row for each item or token."""
    return signal.signal if isinstance(signal, TokenSignals) else signal


def _dense(signal: AnySignal) -> Tensor:
    entries = _entries(signal)
    assert isinstance(entries, Tensor)
    return entries.float().cpu()


def _difference(stored: AnySignal, live: Tensor) -> float:
    """Returns the largest difference: absolute for probabilities, relative to the largest value otherwise."""
    stored = _entries(stored)
    if isinstance(stored, TopK):
        return float((live.softmax(-1).gather(-1, stored.indices.long()) - stored.values).abs().max())
    return float((_dense(stored) - live).abs().max() / live.abs().max().clamp_min(1e-12))


def _agreement(stored: AnySignal, live: Tensor) -> float:
    stored = _entries(stored)
    top = stored.indices[..., 0] if isinstance(stored, TopK) else _dense(stored).argmax(-1)
    return float((top == live.argmax(-1)).double().mean())
