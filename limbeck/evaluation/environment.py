"""Versions and hardware of a measurement, without host name, user or paths, since verdicts are published."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from limbeck.utils.cores import cores


def environment() -> dict[str, str | int]:
    """Versions, processor, cores and threads of this process, and the GPU if there is one."""
    found: dict[str, str | int] = {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "limbeck": _limbeck_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "cpu": cpu_name(),
        "cores": cores(),
        "threads": torch.get_num_threads(),
    }
    if torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name()
    return found


def cpu_name() -> str:
    """The model name of the processor, or its architecture if the name is unknown."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _limbeck_version() -> str:
    try:
        return version("limbeck")
    except PackageNotFoundError:
        return "source"
