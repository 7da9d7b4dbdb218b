"""Measures how long starting takes: `limbeck --help`, and `import limbeck` against `import torch`.

    python -m benchmarks.startup

Whole processes, the two imports in turns. The figures are the least time of `--help` and the median of the paired ratios.
"""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np

from benchmarks.bars import record

RUNS = 9


def seconds(*command: str) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


def main() -> None:
    code = {
        "limbeck": "import limbeck; limbeck.Criterion, limbeck.Run, limbeck.objectives",
        "torch": "import torch",
    }
    shown = [seconds(sys.executable, "-m", "limbeck.cli", "--help") for _ in range(RUNS + 1)][1:]
    plain = [[seconds(sys.executable, "-c", text) for text in ("import limbeck", code["torch"])] for _ in range(RUNS + 1)][1:]
    used = [[seconds(sys.executable, "-c", text) for text in (code["limbeck"], code["torch"])] for _ in range(RUNS + 1)][1:]
    help_s, ratio, in_use = float(np.median(shown)), _median_ratio(plain), _median_ratio(used)
    command = "python -m benchmarks.startup"
    record("main-job", "limbeck --help, seconds", "< 1", help_s, _interval(shown), help_s < 1, command, "whole processes", [])
    for what, value, pairs in (("import limbeck", ratio, plain), ("import limbeck and its main parts", in_use, used)):
        ci95 = _interval([a / b for a, b in pairs])
        record(
            "main-job", f"{what} ÷ import torch, seconds", "≤ 1.3", value, ci95, value <= 1.3, command, "whole processes", []
        )
    print(f"--help {help_s:.2f} s · import {ratio:.2f} × torch · with main parts {in_use:.2f} × torch")


def _median_ratio(pairs: list[list[float]]) -> float:
    return float(np.median([ours / theirs for ours, theirs in pairs]))


def _interval(values: list[float]) -> tuple[float, float]:
    draws = np.median(np.random.default_rng(0).choice(values, (10_000, len(values))), axis=1)
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(low), float(high)


if __name__ == "__main__":
    main()
