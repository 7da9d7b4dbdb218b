"""Measures how long the report of a run takes, as a command of its own, and how large it is.

python -m benchmarks.report [RUN]      # a run of three seeds; without one, the digits recipe is run first
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.bars import record
from benchmarks.recipes import ROOT
from limbeck.evaluation import Verdict
from limbeck.recipe import Recipe
from limbeck.runs import run_recipe


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", nargs="?", type=Path)
    run = parser.parse_args().run
    if run is None:
        run = ROOT / "runs" / "benchmark-digits"
        run_recipe(Recipe.read(ROOT / "recipes" / "digits.yaml"), run, resume=run.exists())
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "limbeck.cli", "report", str(run)], check=True, stdout=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - began)
    value, size = statistics.median(seconds), (run / "report.html").stat().st_size / 1e6
    verdict = Verdict.load(run)
    data = f"{verdict.name}, {len(verdict.seeds)} seeds, {len(verdict.exports)} exports"
    for figure, bar, found, ends, met in (
        ("report of a 3-seed run, seconds", "≤ 5", value, (min(seconds), max(seconds)), value <= 5),
        ("report of a 3-seed run, MB", "≤ 5", size, None, size <= 5),
    ):
        note = "the whole command, Python's start included; range of five" if ends else None
        record("proof", figure, bar, found, ends, met, "python -m benchmarks.report", data, verdict.seeds, note)
    print(f"{value:.2f} s {[round(one, 2) for one in seconds]}, {size:.2f} MB")


if __name__ == "__main__":
    main()
