"""A progress bar that appears only for work longer than a second."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")
ProgressCallback = Callable[[int, int], None]
"""Called as work proceeds, with the number of items done and their total."""


def show_progress(items: Iterable[Item], description: str, total: int, delay: float = 1.0) -> Iterator[Item]:
    """Yields the items. A bar appears on standard error once `delay` seconds have passed and items are left."""
    started, iterator, done = time.monotonic(), iter(items), 0
    for item in iterator:
        yield item
        done += 1
        if time.monotonic() - started > delay:
            break
    else:
        return
    from rich.progress import Progress

    from limbeck.utils.terminal import error_output, is_hidden, shown

    console = error_output()
    with Progress(console=console, transient=True, disable=is_hidden(console)) as bar:
        task = bar.add_task(shown(description), total=total, completed=done)
        for item in iterator:
            yield item
            bar.advance(task)
