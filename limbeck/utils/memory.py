"""How much memory is free, and what a user is told where something asks for more."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

MEMORY_INFO = Path("/proc/meminfo")
# the words of torch on the CPU and on accelerators, of the C++ library, and of sizes beyond 2⁶³
WORDS = re.compile(
    r"can't allocate memory|not enough memory|out of memory|bad_alloc|Storage size calculation overflowed|invalid memory size",
    re.IGNORECASE,
)
ASKED = re.compile(r"tried to allocate (\d+) bytes")
LARGE, NAMED = 1_000, 3  # numbers of a recipe from here on are named, and how many of them


class OutOfMemoryError(ValueError):
    """Something needs more memory than there is. The message says how much, what asks for it, and the remedy."""


def free_memory() -> int | None:
    """Returns the bytes that this process may still take; None if the system does not say."""
    found = [each for each in (_available(), _below_limit()) if each is not None]
    return min(found, default=None)


def _available() -> int | None:
    try:
        line = next(each for each in MEMORY_INFO.read_text().splitlines() if each.startswith("MemAvailable"))
        return int(line.split()[1]) * 1024
    except (OSError, StopIteration, ValueError, IndexError):
        return None


def _below_limit() -> int | None:
    """What `ulimit -v` leaves."""
    try:
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        return None if limit == resource.RLIM_INFINITY else max(0, limit - pages * resource.getpagesize())
    except (ImportError, OSError, ValueError, IndexError):
        return None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory is used up, or that more was asked for than there can be."""
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and bool(WORDS.search(str(error))))


def describe_out_of_memory(error: BaseException) -> str:
    """Returns how much memory was asked for and how much is free, without the words of the libraries."""
    asked, free = ASKED.search(str(error)), free_memory()
    wanted = f": {gigabytes(int(asked[1]))} were asked for" if asked else ""
    left = "" if free is None else f"{' and' if asked else ':'} {gigabytes(free)} are free"
    return f"not enough memory{wanted}{left}"


def gigabytes(count: int) -> str:
    return f"{count / 1e9:,.1f} GB"


@contextmanager
def explain_out_of_memory(values: Callable[[], Mapping[str, Any]]) -> Iterator[None]:
    """Makes an `OutOfMemoryError` of every error that says that memory is used up, with the largest numbers of a recipe.

    Args:
        values: returns the content of the recipe.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        numbers = sorted(_numbers(values(), ""), key=lambda each: -each[1])[:NAMED]
        largest = ", ".join(f"{path}: {number}" for path, number in numbers)
        remedy = f"make one of these smaller: {largest}" if largest else "take smaller models, batches or data (data.*.limit)"
        raise OutOfMemoryError(f"{describe_out_of_memory(error)}; {remedy}") from error


def _numbers(value: Any, path: str) -> Iterator[tuple[str, int]]:
    """The large whole numbers of a nested value, with their paths."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= LARGE:
        yield path, value
    parts = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list | tuple) else ()
    for name, part in parts:
        yield from _numbers(part, f"{path}.{name}" if path else str(name))
