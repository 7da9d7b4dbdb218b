"""Measures by how much this process grows for one model; started by `limbeck.export.memory`.

    python -m limbeck.export.memory_growth limbeck.export.onnx.format Onnx student-int8.onnx 3,32,32      # prints {"bytes": …}
    python -m limbeck.export.memory_growth limbeck.export.onnx.format Onnx text-int8.onnx 24              # a text of 24 tokens

It imports little, because it is started often.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from limbeck.export.base import Format

INFERENCES = 5
STATUS, MAPS, CLEAR = (Path("/proc/self", name) for name in ("status", "maps", "clear_refs"))
RESET_PEAK = "5"  # see proc(5)
POPULATE_READ = 22  # see madvise(2); since Linux 5.14, and before it the call changes nothing


def memory_growth(kind: Format, path: Path, shape: Sequence[int]) -> int:
    """Bytes by which this process grows while it opens `path` and runs one item on one thread."""
    kind.require_packages()
    for library in kind.libraries(path):
        importlib.import_module(library)
    torch.set_num_threads(1)
    noise = torch.rand(1, *shape)
    _release_free_memory()
    _populate_libraries()
    before = _reset_peak()
    runner = kind.open(path)
    item = runner.like(noise)
    for _ in range(INFERENCES):
        runner(item)
    return max(0, _peak() - before)


def _release_free_memory() -> None:
    """Returns freed memory to the system; the model would otherwise reuse it and appear to need none."""
    gc.collect()
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    except (OSError, AttributeError):  # another C library
        return


def _populate_libraries() -> None:
    """Makes every page of the imported libraries resident. Their code would otherwise count as memory of the model when it
    first runs, although processes share these pages and the system can drop them."""
    if not MAPS.exists():
        return
    libc = ctypes.CDLL(None)
    for line in MAPS.read_text().splitlines():
        span, rights, *_, name = line.split(maxsplit=5)
        if ".so" in name and "w" not in rights and "r" in rights:
            start, end = (int(side, 16) for side in span.split("-"))
            libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), POPULATE_READ)


def _reset_peak() -> int:
    """Resets the peak and returns the present resident memory."""
    try:
        CLEAR.write_text(RESET_PEAK)
    except OSError:  # no /proc, or one that must not be written: the peak so far stands, and small growth hides below it
        return _peak()
    return _status("VmRSS")


def _peak() -> int:
    if STATUS.exists():
        return _status("VmHWM")
    import resource  # not on Windows

    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _status(field: str) -> int:
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(field))
    return 1024 * int(line.split()[1])


def main() -> None:
    module, name, path, shape = sys.argv[1:]
    kind: Format = getattr(importlib.import_module(module), name)()
    print(json.dumps({"bytes": memory_growth(kind, Path(path), [int(axis) for axis in shape.split(",")])}))


if __name__ == "__main__":
    main()
