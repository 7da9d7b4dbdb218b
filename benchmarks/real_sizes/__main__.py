"""Measures Limbeck at the sizes that users come with, against competent code by hand.

    python -m benchmarks.real_sizes                       # all
    python -m benchmarks.real_sizes steps objectives      # some of the modules of this package that have a `main`

Run it with `OMP_NUM_THREADS=1` where a figure is a ratio of processor time.
"""

from __future__ import annotations

import importlib
import sys

PARTS = ("steps", "optimizers", "allocator", "objectives", "transformer", "data", "rows", "statistics", "evaluation")


def main(names: list[str]) -> None:
    for name in names or PARTS:
        if name not in PARTS:
            sys.exit(f"{name!r}: expected some of {', '.join(PARTS)}")
        importlib.import_module(f"benchmarks.real_sizes.{name}").main()


if __name__ == "__main__":
    main(sys.argv[1:])
