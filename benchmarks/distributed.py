"""Compares training in two processes with training in one: the largest difference of any weight after 20 steps.

python -m benchmarks.distributed
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from safetensors.torch import load_file

from benchmarks.bars import record
from tests import ranks
from tests.engine.test_ranks import CASES, SCRIPT


def main() -> None:
    with tempfile.TemporaryDirectory() as place:
        for count in (1, 2):
            ranks.run(count, SCRIPT, place)
        worst = {case: _difference(Path(place), case) for case in CASES}
    for case, value in worst.items():
        print(f"{case}: {value:.2e}")
    record(
        "main-job",
        "two processes against one after 20 steps, largest difference of a weight",
        "≤ 1e-6",
        max(worst.values()),
        None,
        max(worst.values()) <= 1e-6,
        "python -m benchmarks.distributed",
        "item-wise and relational terms, with and without accumulation, float32, gloo",
        [0],
    )


def _difference(folder: Path, case: str) -> float:
    one, *both = (load_file(folder / f"{case}-{name}.safetensors") for name in ("1-0", "2-0", "2-1"))
    return max(float((other[name] - tensor).abs().max()) for other in both for name, tensor in one.items())


if __name__ == "__main__":
    main()
