"""The progress bar of a stage."""

from __future__ import annotations

import time
from collections.abc import Mapping

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Column
from rich.text import Text

from limbeck.engine.settings import Settings
from limbeck.utils import distributed, terminal
from limbeck.utils.notebook_line import NotebookLine

DRAWN = 4  # times a second


class StageProgressBar:
    """Shows steps, throughput, time left, and the terms' values as far as the terminal is wide.

    In a notebook it is a line of text, which stays in the output of the cell.

    Args:
        settings: of the run; its labels and the name of the stage stand in front of the bar.
        name: of the stage.
        total: steps of the stage.
        done: steps done before, by a run that was resumed.
        console: None: the terminal.
    """

    def __init__(
        self,
        settings: Settings,
        name: str,
        total: int,
        done: int,
        console: Console | None = None,
    ) -> None:
        console = console or terminal.TerminalConsole()
        shown = settings.progress and distributed.rank() == 0
        columns = (
            TextColumn("[bold]{task.description}", table_column=_fixed()),
            BarColumn(bar_width=10 if console.width < 100 else 24, table_column=_fixed()),
            MofNCompleteColumn(table_column=_fixed()),
            TextColumn("{task.fields[rate]}", table_column=_fixed()),
            TimeRemainingColumn(compact=True, table_column=_fixed()),
            _Values(),
        )
        self._line = NotebookLine() if shown and console.is_jupyter else None
        hidden = not shown or self._line is not None
        self._progress = Progress(*columns, console=console, disable=hidden, refresh_per_second=DRAWN, expand=True)
        self._shown, self._total, self._next = shown, total, 0.0
        self._title = _title(settings.labels, name)
        self._task = self._progress.add_task(terminal.shown(self._title), total=total, completed=done, values="", rate="")

    def __enter__(self) -> StageProgressBar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()
        self._write_line(now=True)

    def advance_to(self, done: int) -> None:
        """Moves the bar; at most as often as it is drawn, since a step can be shorter than the update of the bar."""
        if not self._shown or (time.monotonic() < self._next and done < self._total):
            return
        self._next = time.monotonic() + 1 / DRAWN
        self._progress.update(self._task, completed=done)
        self._write_line()

    def show(self, values: Mapping[str, float], items_per_second: float) -> None:
        first = sorted(values.items(), key=lambda pair: pair[0] != "loss")  # a narrow terminal cuts off the rest
        text = " ".join(f"{name} {value:.3g}" for name, value in first)
        self._progress.update(self._task, values=text, rate=f"{items_per_second:,.0f} items/s")

    def _write_line(self, *, now: bool = False) -> None:
        if self._line is None:
            return
        task = self._progress.tasks[0]
        counts = f"{task.completed:,.0f}/{task.total:,.0f}"
        parts = (self._title, counts, task.fields["rate"], task.fields["values"])
        self._line.show(terminal.plain("  ".join(filter(None, parts))), now=now)


class _Values(ProgressColumn):
    """The terms' values on one line; the only column that shrinks in a narrow terminal."""

    def __init__(self) -> None:
        super().__init__(table_column=Column(ratio=1))

    def render(self, task: Task) -> Text:
        return Text(task.fields["values"], style="dim", no_wrap=True, overflow="ellipsis")


def _title(labels: Mapping[str, str | int], name: str) -> str:
    """`student · seed 0 · layers`"""
    others = dict(labels)
    parts = [str(others.pop("arm", "")), *(f"{label} {value}" for label, value in others.items()), name]
    return " · ".join(part for part in parts if part) or "training"


def _fixed() -> Column:
    return Column(no_wrap=True)
