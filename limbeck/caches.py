"""The teacher's answers as folders that a user builds, looks at, verifies and clears up."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress

from limbeck import ranks
from limbeck.answers import Asked, build, where_kept
from limbeck.recipe import Recipe, read_yaml
from limbeck.runs import RunError, new_teacher, remember_recipe, the_teacher
from limbeck.signals import AnySignal, TopK
from limbeck.store import Info, Store, check, info, prune
from limbeck.taps import LOGITS

NO_STORE = "keeps no answers; add store: auto to it, or say where they go with --out"


@dataclass(frozen=True)
class Compared:
    """A tap's stored answers beside the teacher's own, asked again.

    Attributes:
        samples: how many were compared.
        worst: largest difference of a value, as a share of the largest value.
        agreement: of the logits, the share with the same largest one; None elsewhere.
        damaged: what the checksums say against its files.
    """

    tap: str
    samples: int
    worst: float
    agreement: float | None
    damaged: list[str]

    @property
    def good(self) -> bool:
        """Stored answers are rounded, and a teacher in bfloat16 answers a little differently in another batch."""
        return not self.damaged and self.worst < 0.05 and (self.agreement is None or self.agreement >= 0.99)


def build_cache(recipe: Recipe, out: Path | None = None, *, console: Console | None = None, batch_size: int = 256) -> Path:
    """Ask the recipe's teacher about all training items, in every view, and keep the answers; returns where.

    Stopped, it goes on with the same call. Under `torchrun` the ranks share the work.
    """
    ranks.start()
    if out is not None:
        store = (recipe.store.model_dump() if recipe.store else {}) | {"path": str(out)}
        recipe = Recipe.checked(recipe.model_dump(mode="json") | {"store": store})
    if recipe.store is None:
        raise RunError(f"recipe {recipe.name} {NO_STORE}")
    everything, seen, _, _ = recipe.load()
    folder = Path("runs") / recipe.name
    teacher = the_teacher(recipe, new_teacher(recipe, everything), everything, out or folder)
    job = recipe.distillation(teacher, seen, folder=folder, resume=True)
    asked, codecs, place = job.ask(seen)
    quiet = console is None or ranks.rank() > 0
    with Progress(*Progress.get_default_columns(), MofNCompleteColumn(), console=console, disable=quiet) as bar:
        task = bar.add_task("the teacher's answers", total=None)
        build(asked, place, codecs, lambda done, total: bar.update(task, completed=done, total=total), batch_size)
    asked.close()
    remember_recipe(recipe, place, out or folder)
    return place


def verify(folder: Path, samples: int = 256, *, seed: int = 0) -> list[Compared]:
    """Check every checksum under `folder`, and ask the teacher again about `samples` random items.

    Raises:
        RunError: no store there, or none that remembers its recipe.
    """
    found = _stores(folder)
    damaged = {tap: check(place) for tap, place in found.items()}
    whole = {tap: place for tap, place in found.items() if not damaged[tap]}
    if not whole or not samples:
        return [Compared(tap, 0, 0.0, None, damage) for tap, damage in damaged.items()]
    asked = _ask_again(folder)
    draw = torch.Generator().manual_seed(seed)
    rows = torch.randperm(len(asked.items), generator=draw)[:samples]
    views = torch.randint(asked.source.view_count or 1, (len(rows),), generator=draw)
    said = asked.answer(asked.source.show(rows, views))
    asked.close()
    keys = asked.items.keys[rows]
    return [_compare(tap, Store.open(place), keys, views, said) for tap, place in whole.items() if tap in said] + [
        Compared(tap, 0, 0.0, None, damage) for tap, damage in damaged.items() if damage
    ]


def describe(folder: Path) -> dict[str, Info]:
    """What the stores under a folder hold, by tap."""
    return {tap: info(place) for tap, place in _stores(folder).items()}


def clear(folder: Path, *, remove: bool) -> list[Path]:
    """What lies in the stores under a folder without being named by their manifests."""
    return [path for place in _stores(folder).values() for path in prune(place, remove)]


def _stores(folder: Path) -> dict[str, Path]:
    found = where_kept(folder) if folder.is_dir() else {}
    if not found:
        raise RunError(f"{folder}: no store of answers here; build one with: limbeck cache build RECIPE --out {folder}")
    return found


def _ask_again(folder: Path) -> Asked:
    written = next((place / "recipe.yaml" for place in (folder, folder.parent) if (place / "recipe.yaml").exists()), None)
    if written is None:
        raise RunError(f"{folder}: no recipe.yaml lies with these answers, so there is no teacher to ask; use --sample 0")
    recipe = Recipe.checked(read_yaml(written.read_text(encoding="utf-8")), str(written))
    everything, seen, _, _ = recipe.load()
    asked, _, _ = recipe.distillation(new_teacher(recipe, everything), seen).ask(seen)
    return asked


def _compare(tap: str, store: Store, keys: torch.Tensor, views: torch.Tensor, said: dict[str, AnySignal]) -> Compared:
    reading = store.read(keys, views)
    (name,) = reading.signals
    stored, live = reading.signals[name], said[tap]
    assert isinstance(live, torch.Tensor)
    live = live[reading.found].float().cpu()
    if isinstance(stored, TopK):
        probabilities = live.softmax(-1)
        worst = float((probabilities.gather(-1, stored.indices.long()) - stored.values).abs().max())
        return Compared(tap, len(live), worst, float((stored.indices[:, 0] == live.argmax(-1)).double().mean()), [])
    assert isinstance(stored, torch.Tensor)
    worst = float((stored - live).abs().max() / live.abs().max().clamp_min(1e-12))
    same = float((stored.argmax(-1) == live.argmax(-1)).double().mean()) if tap == LOGITS else None
    return Compared(tap, len(live), worst, same, [])
