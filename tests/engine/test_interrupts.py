"""Ctrl-C: asked once it waits, asked twice it stops."""

from __future__ import annotations

import signal
import threading

import pytest

from limbeck.engine.interrupts import InterruptHandler


def test_the_first_signal_is_noted_and_the_second_stops_at_once() -> None:
    before = signal.getsignal(signal.SIGINT)
    with InterruptHandler() as handler:
        signal.raise_signal(signal.SIGINT)
        assert handler.requested
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_other_threads_leave_signals_alone() -> None:
    before, seen = signal.getsignal(signal.SIGINT), []

    def enter() -> None:
        with InterruptHandler():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [before]
