"""Memory of one inference, by one yardstick for every runtime: how far the resident memory of a fresh process grows.

The process (`limbeck.export.memory_growth`) imports the runtime's libraries first, makes all their pages resident, returns
what that left free to the system, and notes its resident memory. It then opens the file, runs one item on one thread a few
times, and reads its peak. The growth holds weights, activations and the runtime's own structures: what an application that
has the library loaded pays for the model. Linux counts resident pages in batches on each processor, so that two equal
processes differ by some 0.1 MB: differences below 0.3 MB mean nothing. Where Linux is older than 5.14, or the system another
one, pages of the libraries that are touched for the first time count too, some megabytes in each runtime.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from limbeck.evaluation.environment import cores
from limbeck.export.base import Format
from limbeck.export.errors import ExportError

FIRST, EXTRA = 2, 3  # processes at once; and how many more where the first do not agree
RESOLUTION = 300_000  # bytes
TIMEOUT = 600  # seconds


def peak_memory(kind: Format, path: Path, shape: Sequence[int]) -> int:
    """Bytes by which a fresh process grows while it opens `path` and runs one item of `shape`; the median of several.

    Raises:
        ExportError: the file does not open or run there.
    """
    format_class = type(kind)
    command = [sys.executable, "-m", "limbeck.export.memory_growth", format_class.__module__, format_class.__qualname__]
    command += [str(path.resolve()), ",".join(map(str, shape))]
    with ThreadPoolExecutor(max_workers=min(EXTRA, cores())) as pool:
        growth = list(pool.map(_child, [command] * FIRST))
        if max(growth) - min(growth) > RESOLUTION:
            growth += pool.map(_child, [command] * EXTRA)
    return int(statistics.median(growth))


def _child(command: list[str]) -> int:
    try:
        finished = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    except subprocess.TimeoutExpired as error:
        raise ExportError(f"a fresh process did not run {Path(command[-2]).name} within {TIMEOUT} s") from error
    if finished.returncode:
        reason = (finished.stderr.strip().splitlines() or [f"exit status {finished.returncode}"])[-1]
        raise ExportError(f"a fresh process could not run {Path(command[-2]).name}: {reason}")
    return int(json.loads(finished.stdout.splitlines()[-1])["bytes"])
