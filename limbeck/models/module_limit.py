"""Refuses models of absurd depth while they are built, before they take minutes and all memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch.nn.modules.module import register_module_module_registration_hook

MOST = 5_000  # of a model that is built from sizes; large Transformers have some thousands


@contextmanager
def limit_modules() -> Iterator[None]:
    """Counts the modules that are put into others within the block.

    Raises:
        ValueError: more than `MOST`.
    """
    count = 0

    def note(*_: Any) -> None:
        nonlocal count
        count += 1
        if count > MOST:
            raise ValueError(f"the model would have more than {MOST:,} modules; give it fewer layers, blocks or networks")

    handle = register_module_module_registration_hook(note)
    try:
        yield
    finally:
        handle.remove()
