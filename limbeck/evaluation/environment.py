"""Where a number was measured: versions and hardware, but no host name, user or path, since verdicts are published."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch


def environment() -> dict[str, str | int]:
    """Versions, processor, cores and threads of this process; the accelerator where there is one."""
    found: dict[str, str | int] = {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "limbeck": _limbeck(),
        "platform": f"{platform.system()} {platform.machine()}",
        "cpu": cpu_name(),
        "cores": cores(),
        "threads": torch.get_num_threads(),
    }
    if torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name()
    return found


def cpu_name() -> str:
    """The processor as its maker calls it; the architecture where the system does not say."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def cores() -> int:
    """Cores this process may use, which in a container are fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _limbeck() -> str:
    try:
        return version("limbeck")
    except PackageNotFoundError:
        return "source"
