"""What a run says while it works: the log file, the trackers, the progress bar. Values are fetched once per interval."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from limbeck import ranks
from limbeck.engine.checks import NonFiniteError


class Monitor:
    """Sums of the terms' values on the device, and where one of them first stopped being a number.

    Nothing is fetched from an accelerator until `means()` is called, so that training never waits for the log.
    """

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}
        self._broken: dict[str, Tensor] = {}

    def add(self, values: Mapping[str, Tensor], moment: int) -> None:
        """Note the values of one update; on a CPU a value that is no number stops the run at once."""
        for name, value in values.items():
            value = value.detach()
            if value.device.type == "cpu":
                if not bool(torch.isfinite(value)):
                    raise _not_finite(name, moment)
            else:
                before = self._broken.get(name, torch.full((), -1, device=value.device))
                here = torch.full_like(before, moment)
                self._broken[name] = torch.where((before < 0) & ~torch.isfinite(value), here, before)
            self._sums[name] = self._sums[name] + value if name in self._sums else value.clone()
            self._counts[name] = self._counts.get(name, 0) + 1

    def check(self) -> None:
        """Raise if any value so far was not finite."""
        for name, moment in self._broken.items():
            if int(moment) >= 0:
                raise _not_finite(name, int(moment))

    def means(self) -> dict[str, float]:
        """The mean of each value since the last call, over all ranks."""
        self.check()
        names = sorted(self._sums)
        if not names:
            return {}
        sums = ranks.sum_over_ranks(torch.stack([self._sums[name].double() for name in names]))
        means = {name: float(total) / self._counts[name] for name, total in zip(names, sums.tolist(), strict=True)}
        self._sums.clear()
        self._counts.clear()
        return means


def _not_finite(name: str, moment: int) -> NonFiniteError:
    what = "the loss" if name == "loss" else f"term {name!r}"
    return NonFiniteError(
        f"{what} became NaN or infinite at step {moment}. The last checkpoint is whole; resume from it with a smaller learning "
        "rate, gradient clipping (clip: 1.0) or precision: float32."
    )


class Log:
    """`log.jsonl`: one JSON object a line. On resumption, lines later than the checkpoint are dropped, so none stands twice."""

    def __init__(self, path: Path | None, labels: Mapping[str, Any]) -> None:
        self.path, self.labels = path, dict(labels)

    def rewind(self, moment: int) -> None:
        """Drop this training's own lines from `moment` on."""
        if self.path is None or not self.path.exists():
            return
        kept = []
        for line in self.path.read_text().splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                continue  # the last line of a process that was killed
            own = all(entry.get(name) == value for name, value in self.labels.items())
            if not own or entry.get("moment", 0) <= moment:
                kept.append(line)
        beside = self.path.with_suffix(".tmp")
        beside.write_text("".join(line + "\n" for line in kept))
        beside.replace(self.path)

    def write(self, **entry: Any) -> None:
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a") as file:
                file.write(json.dumps({**self.labels, **entry}) + "\n")


class Bar:
    """The progress bar: each term's value, throughput and time left."""

    def __init__(self, shown: bool, title: str, total: int, done: int) -> None:
        columns = (
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            TextColumn("[dim]{task.fields[values]}"),
        )
        self._progress = Progress(*columns, disable=not shown, refresh_per_second=4)
        self._task = self._progress.add_task(title, total=total, completed=done, values="", rate="")

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def move(self, done: int) -> None:
        self._progress.update(self._task, completed=done)

    def tell(self, values: Mapping[str, float], items_per_second: float) -> None:
        text = " ".join(f"{name} {value:.3g}" for name, value in values.items())
        self._progress.update(self._task, values=text, rate=f"{items_per_second:,.0f} items/s")
