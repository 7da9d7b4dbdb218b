"""Peak memory of one inference, measured alike in every runtime: how far the resident memory of a fresh process grows.

The process (`limbeck.export.memory_growth`) imports the libraries of the runtime, makes all their pages resident, returns
free memory to the system and records its resident memory. It then opens the file, runs one item on one thread a few times,
and reads its peak; copies of the process do so in turn. The growth contains weights, activations and structures of the
runtime: what the model costs an application that has loaded the library. Linux counts resident pages in batches per
processor, so that two equal processes differ by about 0.1 MB; differences below 0.3 MB mean nothing. Before Linux 5.14 and on
other systems, pages of the libraries that are first used during inference count too, some megabytes per runtime.
"""

from __future__ import annotations

import json
import statistics
import subprocess
from collections.abc import Sequence
from pathlib import Path

from limbeck.export.base import Format
from limbeck.export.errors import ExportError
from limbeck.utils.child_processes import python_command

TIMEOUT = 600  # seconds


def peak_memory(kind: Format, path: Path, shape: Sequence[int]) -> int:
    """Bytes by which a fresh process grows while it opens `path` and runs one item of `shape`; the median of several.

    Raises:
        ExportError: the file does not open or run in a fresh process.
    """
    format_class = type(kind)
    command = python_command(
        "limbeck.export.memory_growth",
        format_class.__module__,
        format_class.__qualname__,
        str(path.resolve()),
        ",".join(map(str, shape)),
    )
    try:
        finished = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    except subprocess.TimeoutExpired as error:
        raise ExportError(f"a fresh process did not run {path.name} within {TIMEOUT} s") from error
    if finished.returncode:
        reason = (finished.stderr.strip().splitlines() or [f"exit status {finished.returncode}"])[-1]
        raise ExportError(f"a fresh process could not run {path.name}: {reason}")
    return int(statistics.median(json.loads(finished.stdout.splitlines()[-1])["bytes"]))
