"""Freed memory is kept for the next allocation."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

FAULTS = """
import resource
import torch
from limbeck.utils.allocator import keep_freed_memory
if {keep}:
    keep_freed_memory()
for round in range(30):  # eight tensors of 16 MB at a time
    if round == 3:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    held = [torch.ones(2**22) for _ in range(8)]
    del held
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(*, keep: bool, **environment: str) -> int:
    known = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    code = [sys.executable, "-c", FAULTS.format(keep=keep)]
    found = subprocess.run(code, check=True, capture_output=True, text=True, env={**known, **environment})
    return int(found.stdout.split()[-1])


@pytest.mark.skipif(not sys.platform.startswith("linux") or "LD_PRELOAD" in os.environ, reason="it is a setting of glibc")
def test_pages_are_not_cleared_again_unless_the_user_has_settings() -> None:
    freed = page_faults(keep=False)
    if not freed:
        pytest.skip("the allocator gave nothing back to the system by itself")
    assert page_faults(keep=True) < 0.1 * freed
    assert page_faults(keep=True, MALLOC_TRIM_THRESHOLD_="131072") > 0.5 * freed
