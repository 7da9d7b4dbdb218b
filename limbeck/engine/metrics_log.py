"""What a run says while it works: the log file, the trackers, the progress bar. Values are fetched once per interval."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Column
from rich.text import Text
from torch import Tensor

from limbeck.engine.checks import NonFiniteError
from limbeck.utils import distributed


class TermAverages:
    """Sums of the terms' values on the device, and where one of them first stopped being a number.

    Nothing is fetched from an accelerator until `means()` is called, so that training never waits for the log.
    """

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}
        self._broken: dict[str, Tensor] = {}

    def add(self, values: Mapping[str, Tensor], update: int) -> None:
        """Note the values of one update; on a CPU a value that is no number stops the run at once."""
        for name, value in values.items():
            value = value.detach()
            if value.device.type == "cpu":
                if not math.isfinite(value.item()):
                    raise _not_finite(name, update)
            else:
                before = self._broken.get(name, torch.full((), -1, device=value.device))
                here = torch.full_like(before, update)
                self._broken[name] = torch.where((before < 0) & ~torch.isfinite(value), here, before)
            self._sums[name] = self._sums[name] + value if name in self._sums else value.clone()
            self._counts[name] = self._counts.get(name, 0) + 1

    def check(self) -> None:
        """Raise if any value so far was not finite."""
        for name, update in self._broken.items():
            if int(update) >= 0:
                raise _not_finite(name, int(update))

    def means(self) -> dict[str, float]:
        """The mean of each value since the last call, over all ranks."""
        self.check()
        names = sorted(self._sums)
        if not names:
            return {}
        sums = distributed.all_reduce_sum(torch.stack([self._sums[name].double() for name in names]))
        means = {name: float(total) / self._counts[name] for name, total in zip(names, sums.tolist(), strict=True)}
        self._sums.clear()
        self._counts.clear()
        return means


def _not_finite(name: str, update: int) -> NonFiniteError:
    what = "the loss" if name == "loss" else f"term {name!r}"
    return NonFiniteError(
        f"{what} became NaN or infinite at step {update}; the last checkpoint is from before and whole. Try a smaller learning "
        "rate, gradient clipping (clip: 1.0) or precision: float32"
    )


class MetricsLog:
    """`log.jsonl`: one JSON object a line. On resumption, lines later than the checkpoint are dropped, so none stands twice."""

    def __init__(self, path: Path | None, labels: Mapping[str, Any]) -> None:
        self.path, self.labels = path, dict(labels)

    def rewind(self, update: int) -> None:
        """Drop this training's own lines from after `update`, and what a killed process left half written."""
        if self.path is None or not self.path.exists():
            return
        text = self.path.read_text(encoding="utf-8", errors="replace")
        kept = [line for line in text.splitlines() if self._stays(line, update)]
        beside = self.path.with_name(f".{self.path.name}")
        beside.write_text("".join(line + "\n" for line in kept), encoding="utf-8")
        beside.replace(self.path)

    def _stays(self, line: str, update: int) -> bool:
        try:
            entry = json.loads(line)
        except ValueError:
            return False
        own = all(entry.get(name) == value for name, value in self.labels.items())
        return not own or entry.get("update", 0) <= update

    def write(self, **entry: Any) -> None:
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a") as file:
                file.write(json.dumps({**self.labels, **entry}) + "\n")


class StageProgressBar:
    """The progress bar: throughput, time left, and each term's value as far as the terminal is wide."""

    def __init__(self, shown: bool, title: str, total: int, done: int, console: Console | None = None) -> None:
        console = console or Console()
        columns = (
            TextColumn("[bold]{task.description}", table_column=_rigid()),
            BarColumn(bar_width=10 if console.width < 100 else 24, table_column=_rigid()),
            MofNCompleteColumn(table_column=_rigid()),
            TextColumn("{task.fields[rate]}", table_column=_rigid()),
            TimeRemainingColumn(compact=True, table_column=_rigid()),
            _Values(),
        )
        self._progress = Progress(*columns, console=console, disable=not shown, refresh_per_second=4, expand=True)
        self._task = self._progress.add_task(title, total=total, completed=done, values="", rate="")

    def __enter__(self) -> StageProgressBar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def move(self, done: int) -> None:
        self._progress.update(self._task, completed=done)

    def tell(self, values: Mapping[str, float], items_per_second: float) -> None:
        first = sorted(values.items(), key=lambda pair: pair[0] != "loss")  # in a narrow terminal the rest is cut off
        text = " ".join(f"{name} {value:.3g}" for name, value in first)
        self._progress.update(self._task, values=text, rate=f"{items_per_second:,.0f} items/s")


class _Values(ProgressColumn):
    """The terms' values on one line; the only column that gives way when the terminal is narrow."""

    def __init__(self) -> None:
        super().__init__(table_column=Column(ratio=1))

    def render(self, task: Task) -> Text:
        return Text(task.fields["values"], style="dim", no_wrap=True, overflow="ellipsis")


def _rigid() -> Column:
    return Column(no_wrap=True)
