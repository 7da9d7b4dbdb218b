"""Lists the runs in a folder: state, progress, verdict. Only files are read; no model is built."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml
from rich.table import Table
from rich.text import Text

from limbeck.engine.training import Training
from limbeck.evaluation import ComparisonVerdict, Verdict, number_format
from limbeck.evaluation.arms import current_name
from limbeck.evaluation.report import load_comparison
from limbeck.recipe import read_yaml
from limbeck.runs.compare import FAILURE_FILE
from limbeck.runs.compare import VERDICT_FILE as COMPARISON_FILE
from limbeck.runs.folder import RECIPE, is_cache, read_verdict
from limbeck.runs.own_files import is_left_over
from limbeck.utils.folder_lock import is_locked

State = Literal["finished", "running", "stopped", "empty", "unreadable"]
LONG_PARTS = re.compile(
    r"^(?:data|student|training|terms|targets|export|description|actors|sources):.*\n(?:[ -].*\n|\n)*", re.MULTILINE
)
MAX_REASON = 500  # characters
TAIL = 64 << 10  # bytes at the end of a log that are read for the progress of a training
DEFAULT_EPOCHS = Training().length.count  # if the recipe gives no length


@dataclass(frozen=True)
class TrainingProgress:
    """One training of a run: updates done, and their total (None: not known before the first line of its log)."""

    arm: str
    seed: int
    done: int
    total: int | None


@dataclass(frozen=True)
class RunSummary:
    """One run or comparison.

    Attributes:
        state: finished; running (a process holds its lock); stopped (`--resume` continues it); empty; unreadable.
        done, total: updates of a run, variants of a comparison; `total` is None if it is not known yet.
        trainings: of a run, in order of execution.
        message: the verdict in a sentence, or why there is none; of several results the first, and how many there are.
        modified: time of the last write, in seconds since 1970.
    """

    name: str
    path: str
    kind: Literal["run", "comparison"]
    state: State
    done: int
    total: int | None
    message: str
    modified: float
    trainings: list[TrainingProgress] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def list_runs(folder: Path) -> list[RunSummary]:
    """Returns the runs and comparisons directly within `folder`, last changed first; `folder` itself if it is one.

    Folders that hold files but no recipe are skipped, and so are teacher caches.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}; name the one that holds the runs")
    places = [folder] if (folder / RECIPE).exists() else sorted(path for path in folder.iterdir() if _is_folder(path))
    runs = [run for place in places if (run := _summarize(place)) is not None]
    return sorted(runs, key=lambda run: run.modified, reverse=True)


def runs_table(runs: list[RunSummary], now: float | None = None) -> Table:
    """Returns a table with one row per run: state, progress, verdict, age."""
    now = time.time() if now is None else now
    colours = {"finished": "green", "running": "cyan", "stopped": "yellow", "unreadable": "red"}
    table = Table(header_style="bold")
    for title in ("run", "state", "progress", "verdict", "age"):
        table.add_column(
            title, overflow="fold", no_wrap=title in ("state", "age"), justify="right" if title == "age" else "left"
        )
    for one in runs:
        state = Text(one.state, style=colours.get(one.state, "dim"))
        table.add_row(Text(one.name), state, Text(_progress(one)), Text(one.message), Text(_age(now - one.modified)))
    return table


def _summarize(place: Path) -> RunSummary | None:
    modified = 0.0
    try:
        modified = max(_modified(path) for path in (place, *place.glob("[!.]*.json*")))
        written = place / RECIPE
        if not os.path.lexists(written):
            left = [path for path in place.iterdir() if not is_left_over(path.name)]
            return None if left else RunSummary(place.name, str(place), "run", "empty", 0, None, "", modified)
        if is_cache(place):
            return None
        text = written.read_text(encoding="utf-8")
        recipe = read_yaml(_without_long_parts(text) if (place / "verdict.json").exists() else text)
        if not isinstance(recipe, dict):
            raise ValueError(f"{written} holds no recipe")
        return _comparison(place, recipe, modified) if "variants" in recipe else _run(place, recipe, modified)
    except Exception as error:  # whatever is damaged in one folder must not hide the others
        own = isinstance(error, ValueError | OSError | yaml.YAMLError) and str(error)
        reason = str(error) if own else f"a file of {place} is damaged: {error!r}"
        return RunSummary(place.name or str(place), str(place), "run", "unreadable", 0, None, reason[:MAX_REASON], modified)


def _without_long_parts(text: str) -> str:
    """Returns a resolved recipe without what no row of a finished run shows: reading YAML takes most of the time."""
    return text if "&" in text else LONG_PARTS.sub("", text)


def _modified(path: Path) -> float:
    """The time of the last write; 0 of a file that is gone since the folder was read, or a link to nothing."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _is_folder(path: Path) -> bool:
    """Whether a folder may be that of a run. Drafts and other hidden folders are not, a link to nothing is named."""
    return not path.name.startswith(".") and (path.is_dir() or (path.is_symlink() and not path.exists()))


def _run(place: Path, recipe: Mapping[str, Any], modified: float) -> RunSummary:
    seeds = recipe["seeds"]
    if not (isinstance(seeds, list) and seeds and all(isinstance(seed, int) for seed in seeds)):
        raise ValueError(f"{place / RECIPE}: seeds is {seeds!r}; a run has written whole numbers there")
    message = _first_result(read_verdict(place)) if (place / "verdict.json").exists() else ""
    trainings = list(_trainings(place, recipe))
    totals = [training.total for training in trainings]
    total = sum(total for total in totals if total is not None) if None not in totals else None
    state: State = "running" if is_locked(place) else "finished" if message else "stopped"
    done = sum(training.done for training in trainings)
    return RunSummary(place.resolve().name, str(place), "run", state, done, total, message, modified, trainings)


def _first_result(verdict: Verdict) -> str:
    first, others = next(iter(verdict.results)), len(verdict.results) - 1
    said = verdict.only(first).sentence()
    return said if not others else f"{first} {said} (and {others} more result{'s' if others > 1 else ''})"


def _comparison(place: Path, recipe: Mapping[str, Any], modified: float) -> RunSummary:
    names = list(recipe["variants"])
    evaluated = [name for name in names if (place / name / "verdict.json").exists()]
    failed = [name for name in names if (place / name / FAILURE_FILE).exists()]
    running = [name for name in names if is_locked(place / name)]
    if running or is_locked(place):
        state: State = "running"
    else:
        state = "finished" if (place / COMPARISON_FILE).exists() else "stopped"
    message = [_best(load_comparison(place))] if state == "finished" else []
    message += [f"running {', '.join(running)}"] if running else []
    message += [f"failed: {', '.join(failed)}"] if failed else []
    logs = [path.stat().st_mtime for name in names if (path := place / name / "log.jsonl").exists()]
    ended = len(set(evaluated) | set(failed))
    latest = max([modified, *logs])
    return RunSummary(place.resolve().name, str(place), "comparison", state, ended, len(names), "; ".join(message), latest)


def _best(verdict: ComparisonVerdict) -> str:
    first = next((name for name, row in verdict.rows.items() if row.gain is not None and row.gain.effect), None)
    if first is None:
        return "no method differs from the control"
    gain = verdict.rows[first].gain
    assert gain is not None
    shown = number_format.difference(gain.value, gain.ci95, as_percent=verdict.metric.percent)
    if gain.value > 0:
        return f"highest: {first}, {shown} over the control"
    return f"no method is better than the control; least below it: {first}, {shown}"


# --- progress of a run -----------------------------------------------------------------------------------------------


def _trainings(place: Path, recipe: Mapping[str, Any]) -> Iterator[TrainingProgress]:
    """Yields every training of the recipe in order, with its updates.

    Updates done are read from the newest checkpoint and the last line of the log. Lengths in epochs are converted by the
    counts in the log; without these, a control is as long as the student, and one seed as long as another.
    """
    last = _last_lines(place / "log.jsonl")
    order = [("teacher", recipe["seeds"][0])] if (recipe.get("teacher") or {}).get("training") else []
    arms = ("student", *(("control",) if recipe["control"] else ()), *(recipe.get("controls") or ()))
    order += [(arm, seed) for seed in recipe["seeds"] for arm in arms]
    started = [each for each in order if each in last or _checkpointed(place, *each)]
    known: dict[str, int] = {}
    for arm, seed in order:
        line = last.get((arm, seed), {})
        done = max(_checkpointed(place, arm, seed), int(line.get("update", 0)))
        over = (arm, seed) in started[:-1] or (place / "verdict.json").exists()
        total = (
            done if over else known.get(arm) or _length(arm, recipe, line) or known.get(arm if arm == "teacher" else "student")
        )
        if total is not None and arm != "teacher":
            known.setdefault(arm, total)
        yield TrainingProgress(arm, seed, done, total)


def _checkpointed(place: Path, arm: str, seed: int) -> int:
    """Returns the updates in the newest checkpoint of one training."""
    pattern = "teacher" if arm == "teacher" else f"seed-{seed}-*"
    folders = [
        path for path in place.glob(f"checkpoints/{pattern}") if current_name(path.name.removeprefix(f"seed-{seed}-")) == arm
    ]
    steps = [path for folder in folders for path in folder.glob("checkpoints/step-*")]
    return max((int(path.name.removeprefix("step-")) for path in steps), default=0)


def _length(arm: str, recipe: Mapping[str, Any], line: Mapping[str, Any]) -> int | None:
    """Returns the updates of one training, from the recipe and the updates per epoch in the log."""
    own = recipe["teacher"]["training"] if arm == "teacher" else recipe["training"]
    stages = (recipe.get("stages") if arm != "teacher" else None) or [own]
    of_control = arm not in ("teacher", "student")  # whose epochs may have fewer items, not its training fewer updates
    updates_per_epoch = line["step"] / line["epoch"] if line.get("epoch") and not of_control else None
    lengths = []
    for stage in stages:
        if stage.get("steps") is not None:
            lengths.append(int(stage["steps"]))
        elif updates_per_epoch is not None:
            lengths.append(max(1, round((stage.get("epochs") or DEFAULT_EPOCHS) * round(updates_per_epoch))))
        else:
            return None
    return sum(lengths)


def _last_lines(log: Path) -> dict[tuple[str, int], dict[str, Any]]:
    """Returns the last line with a count of updates, for each training at the end of the log."""
    if not log.exists():
        return {}
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - TAIL))
        text = file.read().decode(errors="replace")
    last: dict[tuple[str, int], dict[str, Any]] = {}
    for text_line in text.splitlines():
        try:
            line = json.loads(text_line)
        except (ValueError, RecursionError):  # cut off at the beginning of the tail, or half written
            continue
        if isinstance(line, dict) and "values" in line and ("step" in line or "round" in line):  # the latter in older logs
            line.setdefault("step", line.get("round"))
            last[current_name(str(line.get("arm"))), int(line.get("seed", 0))] = line
    return last


# --- text of the table -----------------------------------------------------------------------------------------------


def _progress(one: RunSummary) -> str:
    if one.kind == "comparison":
        return f"{one.done} of {one.total} variants"
    if one.state == "empty" or not one.trainings:
        return number_format.NONE
    if one.state == "finished":
        return f"{one.done:,} steps"
    share = "" if not one.total else f"{100 * one.done // one.total} %, "
    now = next((training for training in one.trainings if training.total is None or training.done < training.total), None)
    if now is None:
        return f"{share}to be evaluated"
    return f"{share}{now.arm} of seed {now.seed}: {now.done:,}" + (f" of {now.total:,}" if now.total else "")


def _age(seconds: float) -> str:
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(0, seconds):.0f} s"
