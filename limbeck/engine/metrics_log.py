"""The values of a run on disk and in trackers: `log.jsonl`, TensorBoard and others."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from limbeck.core.weight_statistics import mean_and_spread, means_of_classes
from limbeck.engine.clock import Clock
from limbeck.engine.finite_check import FiniteCheck
from limbeck.engine.term_averages import BY_CLASS, TermAverages
from limbeck.engine.trackers import Trackers
from limbeck.utils import distributed
from limbeck.utils.atomic_files import write_text_atomic

if TYPE_CHECKING:
    from limbeck.engine.binding import BoundUpdate

ITEM_WEIGHT = ".item_weight"  # ends the name of what a term's weigher gave


class LogFile:
    """`log.jsonl`: one JSON object a line.

    Args:
        path: None: nothing is written.
        labels: written into every line, so that several trainings can share a file.
    """

    def __init__(self, path: Path | None, labels: Mapping[str, Any]) -> None:
        self.path, self.labels = path, dict(labels)

    def rewind(self, update: int) -> None:
        """Drops this training's lines after `update`, and incomplete lines of a killed process."""
        if self.path is None or not self.path.exists():
            return
        text = self.path.read_text(encoding="utf-8", errors="replace")
        kept = [line for line in text.splitlines() if self._stays(line, update)]
        write_text_atomic(self.path, "".join(line + "\n" for line in kept))

    def _stays(self, line: str, update: int) -> bool:
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            return False
        if not isinstance(entry, dict) or not isinstance(entry.get("update", 0), int | float):  # damaged
            return False
        own = all(entry.get(name) == value for name, value in self.labels.items())
        return not own or entry.get("update", 0) <= update

    def write(self, **entry: Any) -> None:
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a") as file:
                file.write(json.dumps({**self.labels, **entry}) + "\n")


class MetricsLog:
    """Collects the values of terms; writes their means to a log file and to trackers.

    The first process writes for all. Values stay on their device until the means are written.

    Args:
        path: of the log file; None: there is none.
        labels: written into every line of it.
        trackers: of this training.
    """

    def __init__(self, path: Path | None, labels: Mapping[str, Any], trackers: Trackers) -> None:
        self.file = LogFile(path if distributed.rank() == 0 else None, labels)
        self.trackers = trackers
        self._averages, self._finite = TermAverages(), FiniteCheck()
        self._without_weight: set[str] = set()  # names that a warning has been given of

    def add(self, values: Mapping[str, Tensor], clock: Clock) -> None:
        """Adds the values of one update; raises `NonFiniteError` if one on a CPU is not finite."""
        self._finite.add(values, clock.updates)
        self._averages.add(values)

    def add_made(self, values: Mapping[str, Tensor]) -> None:
        """Adds values of the terms by which a source has trained what it makes; they are the same on every process."""
        self._averages.add({name: value / distributed.world_size() for name, value in values.items()})

    def raise_if_not_finite(self) -> None:
        """Raises `NonFiniteError` if a value of any update so far was not finite."""
        self._finite.raise_if_not_finite()

    def write_means(
        self, clock: Clock, steps_per_epoch: int | None, weights: Mapping[str, Tensor] | None = None
    ) -> dict[str, float]:
        """Writes and returns the mean of each value since the last call, over all processes.

        Args:
            weights: number, sum and sum of squares of the weights of items, by name; their mean and spread are written. Sums in
                each class, by the name and `BY_CLASS`; their means are written.
        """
        self.raise_if_not_finite()
        values = self._averages.means()
        epoch = {"epoch": round(clock.step / steps_per_epoch, 4)} if steps_per_epoch else {}
        sums = {name: distributed.all_reduce_sum(own) for name, own in sorted((weights or {}).items())}
        spread = {name: mean_and_spread(own) for name, own in sums.items() if not name.endswith(BY_CLASS)}
        self._warn_of_no_weight(spread, clock)
        by_class = {name.removesuffix(BY_CLASS): means_of_classes(own) for name, own in sums.items() if name.endswith(BY_CLASS)}
        found = {"weights": spread, "class_weights": by_class}
        more = {key: values for key, values in found.items() if values}
        self.file.write(stage=clock.stage, step=clock.step, update=clock.updates, **epoch, values=values, **more)
        self._track(values, clock)
        return values

    def _warn_of_no_weight(self, spread: Mapping[str, Mapping[str, float]], clock: Clock) -> None:
        """Warns once of a weigher that gave no item of an interval any weight: its term has trained nothing there."""
        for name, found in spread.items():
            if name.endswith(ITEM_WEIGHT) and found["mean"] == found["spread"] == 0 and name not in self._without_weight:
                self._without_weight.add(name)
                warnings.warn(
                    f"term {name.removesuffix(ITEM_WEIGHT)!r}: its item_weight was 0 for every item since the last line of the "
                    f"log, up to step {clock.step} of stage {clock.stage}, so the term trained nothing; change the weigher or "
                    "leave the term out",
                    stacklevel=2,
                )

    def write_validation(self, clock: Clock, metrics: Mapping[str, float]) -> None:
        self.file.write(stage=clock.stage, step=clock.step, update=clock.updates, validation=dict(metrics))
        self._track({f"validation/{name}": value for name, value in metrics.items()}, clock)

    def write_chosen_taps(self, clock: Clock, pairs: Sequence[tuple[str, str]]) -> None:
        """Logs taps chosen by `auto` with the number of the next update, so that a run resumed before it logs them once."""
        self.file.write(stage=clock.stage, update=clock.updates + 1, taps=pairs)

    def _track(self, values: Mapping[str, float], clock: Clock) -> None:
        self.trackers.log(values, step=clock.updates)


def report_chosen_taps(updates: Sequence[BoundUpdate], log: MetricsLog, clock: Clock, *, printed: bool) -> None:
    """Logs, and prints, the taps that `auto` has chosen for the terms of a stage."""
    for pairs in (one.criterion.chosen_taps for one in updates):
        if pairs:
            log.write_chosen_taps(clock, pairs)
        if pairs and printed and distributed.rank() == 0:
            print(f"taps chosen (student ← teacher): {', '.join(f'{student} ← {teacher}' for student, teacher in pairs)}")


def report_terms_built_anew(reasons: Mapping[str, str], log: MetricsLog, clock: Clock, *, printed: bool) -> None:
    """Logs, and prints, why terms take over nothing of those of the same name in the stage before."""
    if reasons:
        log.file.write(stage=clock.stage, update=clock.updates + 1, built_anew=dict(reasons))
        if printed and distributed.rank() == 0:
            print(f"terms built anew: {'; '.join(f'{name}: {reason}' for name, reason in reasons.items())}")
