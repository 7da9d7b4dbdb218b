"""The measured figures, each with its bar and the command that measures it again.

Benchmarks call `record`; `python -m benchmarks.pages` writes the figures into README.md and docs/benchmarks.md.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from limbeck.evaluation.environment import cpu_name
from limbeck.utils.atomic_files import write_text_atomic
from limbeck.utils.cores import cores

RESULTS = Path(__file__).parent / "results" / "bars.json"


def record(
    topic: str,
    figure: str,
    bar: str | float,
    value: float,
    ci95: Sequence[float] | None,
    met: bool,
    command: str,
    data: str,
    seeds: Sequence[int] | int,
    note: str | None = None,
) -> None:
    """Put one measured figure into the results, in place of an earlier measurement of the same (topic, figure).

    Args:
        bar: what the figure is held against, e.g. "≥ 1.5 points".
        value: what was measured; kept to four significant digits, like its interval.
        command: the line that measures it again.
        data: what it was measured on.
        seeds: the seeds, or how many there were.
    """
    row: dict[str, Any] = {
        "topic": topic,
        "figure": figure,
        "bar": bar,
        "value": _rounded(value),
        "ci95": None if ci95 is None else [_rounded(end) for end in ci95],
        "met": bool(met),
        "command": command,
        "data": data,
        "seeds": seeds if isinstance(seeds, int) else list(seeds),
        "note": note,
        "machine": machine(),
    }
    with _locked():
        rows = load()
        places = [i for i, old in enumerate(rows) if (old["topic"], old["figure"]) == (topic, figure)]
        if places:
            rows[places[0]] = row
        else:
            rows.append(row)
        rows.sort(key=lambda found: str(found["topic"]))  # stable: in order of arrival within a topic
        lines = ",\n".join(json.dumps(each, ensure_ascii=False, allow_nan=False, separators=(",", ":")) for each in rows)
        write_text_atomic(RESULTS, f"[\n{lines}\n]\n")  # a line for each: a change shows in one, and it is short


def load() -> list[dict[str, Any]]:
    """Returns all rows; an empty list if nothing is measured yet."""
    if not RESULTS.exists():
        return []
    rows: list[dict[str, Any]] = json.loads(RESULTS.read_text(encoding="utf-8"))
    return rows


def machine() -> str:
    """The processor and its cores, e.g. "AMD EPYC, 2 cores"."""
    return f"{cpu_name()}, {cores()} core{'s' * (cores() > 1)}"


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


@contextmanager
def _locked() -> Iterator[None]:
    """Locks the file against other benchmarks between reading and writing (if the system has file locks)."""
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    try:
        import fcntl
    except ImportError:
        yield
        return
    folder = os.open(RESULTS.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)
