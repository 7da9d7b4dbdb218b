"""A module run by one process, or by several ranks as torchrun starts them, with a thread each."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def command(ranks: int, module: str, *words: object) -> list[str]:
    """Of which `python -m MODULE WORDS` is run by so many ranks."""
    launch = [] if ranks == 1 else ["-m", "torch.distributed.run", "--nproc_per_node", str(ranks), "--standalone"]
    return [sys.executable, *launch, "-m", module, *map(str, words)]


def run(ranks: int, module: str, *words: object) -> None:
    subprocess.run(command(ranks, module, *words), cwd=ROOT, env=ENVIRONMENT, check=True, timeout=300)
