"""A million rows of 128 floats in a Parquet file, loaded and split: time and memory beside a few lines by hand.

python -m benchmarks.real_sizes rows
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from benchmarks import bars
from benchmarks.real_sizes.start import resident
from limbeck.data import load_items

ROWS, WIDTH, TURNS = 1_000_000, 128, 3


def write(file: Path) -> None:
    """Rows in groups of 100,000."""
    random = np.random.default_rng(0)
    with pq.ParquetWriter(file, pa.schema([("features", pa.list_(pa.float32(), WIDTH)), ("label", pa.int64())])) as writer:
        for _ in range(10):
            values = random.standard_normal((ROWS // 10) * WIDTH, dtype=np.float32)
            features = pa.FixedSizeListArray.from_arrays(pa.array(values), WIDTH)
            writer.write_table(pa.table([features, random.integers(0, 10, ROWS // 10)], schema=writer.schema))


def by_hand(file: str) -> Any:
    """Reads the table, copies it into a tensor, and splits a permutation of its rows."""
    table = pq.read_table(file)
    features = torch.from_numpy(table["features"].combine_chunks().flatten().to_numpy().reshape(-1, WIDTH).copy())
    labels = torch.from_numpy(table["label"].to_numpy().copy())
    order = torch.randperm(len(labels))
    return features, labels, order[: ROWS * 9 // 10], order[ROWS * 9 // 10 :]


def ours(file: str) -> Any:
    """Keys of all items are computed too, by which the split and all random draws go."""
    return load_items(file).split(0.9)


def child(way: Callable[[str], Any], file: str) -> None:
    """Loads in this process; prints processor seconds, bytes in the end and at most."""
    before, began = resident(), time.process_time()
    kept = way(file)
    seconds = time.process_time() - began
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": seconds, "bytes": resident() - before, "most": most - before, "parts": len(kept)}))


def measure(way: str, file: Path) -> dict[str, float]:
    """One loading in a fresh process."""
    code = f"from benchmarks.real_sizes import rows; rows.child(rows.{way}, {str(file)!r})"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.parquet"
        write(file)
        turns = [(measure("by_hand", file), measure("ours", file)) for _ in range(TURNS)]
    print(turns)
    data = f"{ROWS:,} rows of {WIDTH} floats in Parquet, loaded and split; fresh processes, median of {TURNS}"
    size = ROWS * WIDTH * 4
    for name, bar, value in (
        ("processor time ÷ by hand", "no goal", statistics.median(one["seconds"] / hand["seconds"] for hand, one in turns)),
        ("memory afterwards ÷ the data", "no goal", statistics.median(one["bytes"] / size for _, one in turns)),
        ("memory at most ÷ by hand", "no goal", statistics.median(one["most"] / hand["most"] for hand, one in turns)),
    ):
        figure = f"a million rows: {name}"
        bars.record("real-sizes", figure, bar, value, None, True, "python -m benchmarks.real_sizes rows", data, TURNS)


if __name__ == "__main__":
    main()
