"""Measures what faults do: flipped bytes in the files of a run, kills, mutated recipes, foreign files, damaged runs
in a list; whether two ranks train what one does; and which kinds of faults have a test.

    python -m benchmarks.faults [--dry] [PART …]

Parts are kinds, flips, listing, ranks, kills, recipes, files and checks (what those before a training cost); all by
default. `--dry` prints the figures and records none.
"""

from __future__ import annotations

import argparse
import random
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import fault_checks, fault_files, fault_kills, fault_kinds, fault_ranks, fault_recipes
from benchmarks.bars import record
from limbeck import models
from limbeck.engine.checkpoint import CheckpointError, load_checkpoint
from limbeck.runs import list_runs, run_recipe, runs_table
from limbeck.utils.checksums import DamagedFileError
from tests import tiny

FLIPS, RUNS, DAMAGED = 1_000, 2_000, 10
MODELS = ("student", "control", "teacher")


def finished_run(folder: Path) -> Path:
    run_recipe(tiny.recipe(), folder, progress=False)
    return folder


def flips(run: Path, drawn: random.Random) -> int:
    """Flips one bit at a time in the files of models and checkpoints of a run; returns how often reading names the file."""
    files = [path for name in MODELS for path in sorted((run / name).iterdir())]
    files += sorted(run.glob("checkpoints/*/checkpoints/*/state.safetensors"))
    found = 0
    for number in range(FLIPS):
        path = files[number % len(files)]
        content = path.read_bytes()
        place = drawn.randrange(len(content))
        path.write_bytes(content[:place] + bytes([content[place] ^ (1 << drawn.randrange(8))]) + content[place + 1 :])
        read: Callable[[Path], object] = load_checkpoint if path.name == "state.safetensors" else models.load_model
        try:
            read(path.parent)
        except (CheckpointError, DamagedFileError) as error:
            found += str(path) in str(error)
        path.write_bytes(content)
    return found


def listing(run: Path, folder: Path) -> tuple[float, int]:
    """Returns the seconds that listing many runs takes, and how many of the damaged ones are rows that say so."""
    for number in range(RUNS):
        place = folder / f"run-{number:04d}"
        place.mkdir(parents=True)
        for name in ("recipe.yaml", "verdict.json", "log.jsonl", ".lock", ".limbeck-run"):
            shutil.copy(run / name, place / name)
        for checkpoint in run.glob("checkpoints/*/checkpoints/step-*"):
            (place / checkpoint.relative_to(run)).mkdir(parents=True)
    damage = ["", "[" * 100_000, "a: 1", "\x00", "- 1", "seeds: []", "a: &a [*a]", "{", "seeds: abc", "name: x"]
    for number, text in zip(range(0, RUNS, RUNS // DAMAGED), damage, strict=True):
        (folder / f"run-{number:04d}" / "recipe.yaml").write_text(text)
    began = time.perf_counter()
    found = list_runs(folder)
    runs_table(found)
    seconds = time.perf_counter() - began
    assert len(found) == RUNS
    return seconds, sum(one.state == "unreadable" and bool(one.message) for one in found)


def measure_flips(*, dry: bool) -> None:
    with tempfile.TemporaryDirectory() as place:
        found = flips(finished_run(Path(place) / "run"), random.Random(0))
    print(f"flipped bytes found with the file's name: {found} of {FLIPS}")
    if not dry:
        figure, bar = "flipped bytes found in the files of a run", f"{FLIPS:,} of {FLIPS:,}"
        where = "student, control, kept teacher, best and last checkpoints of a finished run"
        note = "each with the file's name, when it is read"
        record("faults", figure, bar, found, None, found == FLIPS, "python -m benchmarks.faults flips", where, [0], note)


def measure_listing(*, dry: bool) -> None:
    with tempfile.TemporaryDirectory() as place:
        seconds, named = listing(finished_run(Path(place) / "run"), Path(place) / "runs")
    print(f"limbeck runs on {RUNS:,} folders: {seconds:.2f} s; damaged ones named: {named} of {DAMAGED}")
    if not dry:
        data = f"{RUNS:,} finished runs, {DAMAGED} of them damaged"
        met = seconds <= 5 and named == DAMAGED
        note = f"{named} of {DAMAGED} damaged runs are rows that say so"
        record("faults", "limbeck runs, s", "≤ 5", seconds, None, met, "python -m benchmarks.faults listing", data, 1, note)


PARTS: dict[str, Callable[..., None]] = {
    "kinds": fault_kinds.measure,
    "flips": measure_flips,
    "listing": measure_listing,
    "ranks": lambda *, dry: fault_ranks.measure(record_figures=not dry),
    "kills": fault_kills.measure,
    "recipes": fault_recipes.measure,
    "files": fault_files.measure,
    "checks": fault_checks.measure,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dry", action="store_true")
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], default=[])
    given = parser.parse_args()
    for part in given.parts or PARTS:
        PARTS[part](dry=given.dry)


if __name__ == "__main__":
    main()
