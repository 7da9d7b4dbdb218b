"""Measures by how much a process grows for one model; started by `limbeck.export.memory`.

    python -m limbeck.export.memory_growth limbeck.export.onnx.format Onnx student-int8.onnx 3,32,32     # prints {"bytes": […]}
    python -m limbeck.export.memory_growth limbeck.export.onnx.format Onnx text-int8.onnx 24             # a text of 24 tokens

It imports little, because it is started often. Each measurement is made in a copy of the process (`fork`), so that the
libraries are imported once; a first copy tells which ones. Without `fork` the process itself measures, once.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from limbeck.export.base import Format

Found = TypeVar("Found")
INFERENCES = 5
FIRST, EXTRA = 2, 3  # measurements, and further ones if these differ by more than RESOLUTION
RESOLUTION = 300_000  # bytes
TIMEOUT = 300  # seconds, after which a copy ends itself
STATUS, MAPS, CLEAR = (Path("/proc/self", name) for name in ("status", "maps", "clear_refs"))
RESET_PEAK = "5"  # see proc(5)
POPULATE_READ = 22  # see madvise(2); since Linux 5.14, and before it the call changes nothing


def memory_growths(kind: Format, path: Path, shape: Sequence[int]) -> list[int]:
    """Bytes by which copies of this process grow while they open `path` and run one item, of several copies."""
    kind.require_packages()
    for package in kind.packages:
        importlib.import_module(package)
    torch.set_num_threads(1)  # also no other thread is there to be lost in a copy
    noise = torch.rand(1, *shape)
    if not hasattr(os, "fork"):
        return [_memory_growth(kind, path, noise)]
    for module in _in_copy(lambda: _imported_by(kind, path, noise)):
        with suppress(Exception):  # some modules are imported by others only
            importlib.import_module(module)
    growth = [_in_copy(lambda: _memory_growth(kind, path, noise)) for _ in range(FIRST)]
    if max(growth) - min(growth) > RESOLUTION:
        growth += [_in_copy(lambda: _memory_growth(kind, path, noise)) for _ in range(EXTRA)]
    return growth


def _imported_by(kind: Format, path: Path, noise: Tensor) -> list[str]:
    """The modules that opening and running a file imports; they belong to the libraries, and not to the model."""
    before = set(sys.modules)
    _run(kind, path, noise)
    return [module for module in sys.modules if module not in before]


def _in_copy(measure: Callable[[], Found]) -> Found:
    """What `measure` returns in a copy of this process; ends this one with the copy's exit status if it fails."""
    read, write = os.pipe()
    copy = os.fork()
    if not copy:
        os.close(read)
        signal.alarm(TIMEOUT)
        try:
            with open(write, "w") as pipe:
                json.dump(measure(), pipe)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)
    os.close(write)
    with open(read) as pipe:
        text = pipe.read()
    _, status = os.waitpid(copy, 0)
    if status:
        sys.exit(os.waitstatus_to_exitcode(status))
    found: Found = json.loads(text)
    return found


def _memory_growth(kind: Format, path: Path, noise: Tensor) -> int:
    """Bytes by which this process grows while it opens `path` and runs one item on one thread."""
    _release_free_memory()
    _populate_libraries()
    before = _reset_peak()
    _run(kind, path, noise)
    return max(0, _peak() - before)


def _run(kind: Format, path: Path, noise: Tensor) -> None:
    runner = kind.open(path)
    item = runner.like(noise)
    for _ in range(INFERENCES):
        runner(item)


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
    print(json.dumps({"bytes": memory_growths(kind, Path(path), [int(axis) for axis in shape.split(",")])}))


if __name__ == "__main__":
    main()
