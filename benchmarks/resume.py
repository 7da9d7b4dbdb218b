"""Kills a run at random moments and resumes it: weights, log and verdict must equal those of an undisturbed run.

python -m benchmarks.resume
"""

from __future__ import annotations

import json
import multiprocessing
import random
import tempfile
import time
from collections.abc import Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from benchmarks.bars import record

SEED, KILLS = 20, 20
FIGURE = "kill -9 at 20 random moments, then resume: bit-identical weights"
TRAINING = {"steps": 90, "batch_size": 64, "checkpoint_every": 7, "log_every": 7, "trackers": [], "device": "cpu"}
RECIPE: dict[str, Any] = {
    "name": "kills",
    "data": {"train": {"path": "digits", "split": "train"}, "test": {"path": "digits", "split": "test"}, "validation": 0.1},
    "teacher": {"model": "tiny_cnn", "args": {"width": 16, "size": 8}, "training": {**TRAINING, "steps": 60}},
    "student": {"model": "tiny_cnn", "args": {"width": 6, "size": 8}},
    "terms": [
        {"hard_targets": {"weight": 0.1}},
        {"soft_targets": {"temperature": 4, "weight": 0.9}},
        {"hint": {"student": "auto", "teacher": "auto", "weight": 0.1}},  # adapters: weights that only the checkpoint knows
    ],
    "training": {**TRAINING, "ema": 0.9, "validate_every": 1},
    "seeds": [0, 1],
}


def run_recipe(folder: Path) -> None:
    from limbeck import runs
    from limbeck.recipe import Recipe

    runs.run_recipe(Recipe.from_dict(RECIPE), folder, resume=True, progress=False)


def start(folder: Path) -> ForkServerProcess:
    """The run in a process of its own, forked from one that has imported everything, so that only the run takes time."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["limbeck.runs.distill", "limbeck.evaluation.report", "sklearn.datasets", "torch.utils.flop_counter"]
    )
    process = context.Process(target=run_recipe, args=(folder,))
    process.start()
    return process


def finish(folder: Path) -> float:
    """Run to the end; returns the seconds it took."""
    began = time.perf_counter()
    process = start(folder)
    process.join()
    if process.exitcode != 0:
        raise RuntimeError(f"the run in {folder} ended with {process.exitcode}; its message stands above")
    return time.perf_counter() - began


def interrupted(folder: Path, delays: Sequence[float]) -> int:
    """The same run, killed after each of `delays`, then finished; returns how many kills met it at work."""
    met = 0
    for delay in delays:
        process = start(folder)
        process.join(delay)
        met += process.is_alive()
        process.kill()
        process.join()
    finish(folder)
    return met


def outcome(folder: Path) -> dict[str, Any]:
    """What must not depend on interruptions: weights byte by byte, every line of the log, every figure that is no time."""
    verdict = json.loads((folder / "verdict.json").read_text())
    result = verdict["results"]["student"]
    measured = {"teacher": verdict["teacher"], "control": result["control"], "student": result["distilled"]}
    arms = {name: {key: arm[key] for key in ("metric", "ci95", "per_seed", "ece")} for name, arm in measured.items()}
    last = {path.name: sorted(path.glob("checkpoints/step-*/*"))[-1] for path in folder.glob("checkpoints/*")}
    from limbeck.engine.checkpoint import load_checkpoint

    states = {name: load_checkpoint(path.parent) for name, path in last.items()}
    costs = {name: (state["clock"]["updates"], state["clock"]["teacher_items"]) for name, state in states.items()}
    return {
        "student": (folder / "student" / "model.safetensors").read_bytes(),
        "teacher": (folder / "teacher" / "model.safetensors").read_bytes(),
        "arms' weights": {name: _bytes(state["actors"]) for name, state in states.items()},
        "log": (folder / "log.jsonl").read_text(),
        "verdict": [arms, result["gain"], result["agreement"], result["retention"]],
        "cost": [costs, verdict["cost"]["student_steps"], verdict["cost"]["teacher_items"]],
    }


def _bytes(actors: dict[str, Any]) -> dict[str, dict[str, bytes]]:
    return {name: {key: t.numpy().tobytes() for key, t in tensors.items()} for name, tensors in actors.items()}


def main() -> None:
    draw = random.Random(SEED)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        lasts = finish(folder / "quiet")
        expected = outcome(folder / "quiet")
        same = tried = 0
        while tried < KILLS:
            run = folder / f"killed-{tried}"
            delay = draw.uniform(0, lasts)
            if not interrupted(run, [delay]):
                continue  # it was done before: no kill, no trial
            found = outcome(run)
            wrong = [part for part in expected if found[part] != expected[part]]
            same, tried = same + (not wrong), tried + 1
            print(
                f"kill {tried} of {KILLS} after {delay:.2f} s: {'the same' if not wrong else 'differs in ' + ', '.join(wrong)}"
            )
    command = "python -m benchmarks.resume"
    note = "student, control and teacher; the log, the cost and the verdict's figures are compared too"
    record("main-job", FIGURE, f"{KILLS} of {KILLS}", same, None, same == KILLS, command, "digits", RECIPE["seeds"], note)


if __name__ == "__main__":
    main()
