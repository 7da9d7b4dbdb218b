"""A progress bar for what takes longer than a second, and silence for what does not."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def progress(items: Iterable[Item], description: str, total: int, patience: float = 1.0) -> Iterator[Item]:
    """The same items; a bar on standard error appears once `patience` seconds have passed and they are not yet done."""
    started, iterator, done = time.monotonic(), iter(items), 0
    for item in iterator:
        yield item
        done += 1
        if time.monotonic() - started > patience:
            break
    else:
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(description, total=total, completed=done)
        for item in iterator:
            yield item
            bar.advance(task)
