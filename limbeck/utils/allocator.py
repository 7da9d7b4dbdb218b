"""The C library's allocator in processes that train."""

from __future__ import annotations

import ctypes
import os
import sys

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of mallopt
LARGEST_MMAP_THRESHOLD = 32 * 2**20  # what glibc takes
ENVIRONMENT = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES", "LD_PRELOAD")


def keep_freed_memory() -> bool:
    """Keeps what is freed for the next allocation, instead of giving it back to the system; returns whether it could be done.

    A training step allocates and frees the same activations again and again. Given back, their pages are mapped and cleared by
    the system before every use: thousands of page faults in a step of a convolutional network on a CPU. The process does not
    hold more than at its peak. It is for processes of our own, such as commands: the setting stays until the process ends.

    It does nothing without glibc, and where the user has chosen an allocator or settings (`LD_PRELOAD`,
    `MALLOC_TRIM_THRESHOLD_`, …).

    Source: mallopt(3), glibc.
    """
    if not sys.platform.startswith("linux") or any(name in os.environ for name in ENVIRONMENT):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(MMAP_THRESHOLD, LARGEST_MMAP_THRESHOLD) and mallopt(TRIM_THRESHOLD, 2**31 - 1))
