"""Opens a folder of image files as a run does; prints seconds and bytes: `python -m benchmarks.real_sizes.start FOLDER`."""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from pathlib import Path

from limbeck.core import BatchPosition
from limbeck.data import Dataset, load_items
from limbeck.data.image import Pipeline

BATCHES = 100


def resident() -> int:
    """Bytes of memory that this process holds now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main(root: str) -> None:
    before, began = resident(), time.perf_counter()
    items = load_items(root, size=224, memory_limit=0)
    train, held_out = items.split(0.98)
    source = Dataset(train, 32, {"default": Pipeline.from_spec(["random_resized_crop", "horizontal_flip"])})
    source.batch(BatchPosition(0))
    seconds = time.perf_counter() - began
    for step in range(1, BATCHES):
        source.batch(BatchPosition(step))
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": seconds, "bytes": most - before, "items": len(train) + len(held_out)}))


if __name__ == "__main__":
    main(sys.argv[1])
