"""Trainings that take turns step by step in one process, so that all see the machine in the same state."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from limbeck.core.batch import Batch
from limbeck.core.source import BatchPosition, Source


class Turns:
    """Lets one party run at a time, each until it asks for the batch of its next turn.

    Args:
        parties: names of the trainings, in the order of their turns.
        steps: of a turn. After a change of turns the processor's caches hold what another party used, so the first step of a
            turn is slower.

    Attributes:
        seconds: processor time of each turn of each party, batches included; without its last turn. A party should run on one
            thread: only its own is measured. The wall clock would also show what other processes do on the same cores.
    """

    def __init__(self, parties: Sequence[str], steps: int = 1) -> None:
        self.parties, self.steps = tuple(parties), steps
        self.seconds: dict[str, list[float]] = {party: [] for party in parties}
        self._running = list(parties)  # those that have not ended; the first one has its turn
        self._changed = threading.Condition()
        self._began: dict[str, float] = {}
        self._drawn = dict.fromkeys(parties, -1)  # the step of the last batch
        self._errors: list[BaseException] = []

    def run(self, trainings: Mapping[str, Callable[[], Any]]) -> None:
        """Carries all trainings out, each in a thread; raises the first error of any."""
        threads = [threading.Thread(target=self._carry_out, args=(party, trainings[party])) for party in self.parties]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self._errors:
            raise self._errors[0]

    def next(self, party: str, step: int) -> None:
        """Ends the turn of a party, which has made its batch for this step, and waits for its next turn."""
        in_order, self._drawn[party] = step == self._drawn[party] + 1, step
        if step % self.steps:
            return
        if in_order and step > 0:  # before the first step batches are drawn to try out shapes
            self.seconds[party].append(time.thread_time() - self._began[party])
        with self._changed:
            self._running.append(self._running.pop(0))
            self._changed.notify_all()
        self._wait(party)

    def _carry_out(self, party: str, training: Callable[[], Any]) -> None:
        self._wait(party)
        try:
            training()
        except BaseException as error:
            self._errors.append(error)
        finally:
            with self._changed:
                self._running.remove(party)
                self._changed.notify_all()

    def _wait(self, party: str) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._running[0] == party)
        self._began[party] = time.thread_time()


class TurnSource(Source):
    """The batches of another source; asking for one ends the turn of a party."""

    def __init__(self, source: Source, turns: Turns, party: str) -> None:
        self.source, self.turns, self.party = source, turns, party
        self.samples, self.steps_per_epoch = source.samples, source.steps_per_epoch

    def batch(self, position: BatchPosition) -> Batch:
        batch = self.source.batch(position)
        self.turns.next(self.party, position.step)
        return batch
