"""The command line within this process, watched: its answer, how long it takes, what it writes where, and what it hides."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from limbeck import cli
from limbeck.cli import command_line
from limbeck.engine import Run

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGES = (
    "os.mkdir",
    "os.rename",
    "os.remove",
    "os.rmdir",
    "os.link",
    "os.symlink",
    "os.truncate",
    "os.chmod",
    "shutil.rmtree",
)
TOO_LONG = 120  # seconds after which a command is stopped; measuring a model takes some of them


class Training(BaseException):
    """The first training step was reached: all checks have passed."""


class Endless(BaseException):
    """The command gave no answer in time."""


@dataclass
class Answer:
    """What a command did.

    Attributes:
        code: the exit code; None: it was about to train.
        seconds: without those in which other processes had the core.
        crash: the traceback of an error that users must not see.
        raw: the traceback of an error that users see in the words of another library.
        touched: paths that were written, made, renamed or removed.
    """

    code: int | None = None
    text: str = ""
    seconds: float = 0.0
    crash: str = ""
    raw: str = ""
    touched: list[Path] = field(default_factory=list)


class Watch:
    """Records changes of files while it is on. One for a process: an audit hook cannot be removed."""

    def __init__(self) -> None:
        self.found: list[Path] | None = None
        sys.addaudithook(self._hear)

    def _hear(self, event: str, given: tuple[Any, ...]) -> None:
        if self.found is None:
            return
        if event == "open":
            changed = given[:1] if isinstance(given[2], int) and given[2] & WRITES else ()
        else:
            changed = given[: 2 if event == "os.rename" else 1] if event in CHANGES else ()
        if any(isinstance(number, int) and number >= 0 for number in given[-1:]) and event in ("os.remove", "os.rmdir"):
            return  # relative to an open folder: a tree that is removed, whose top is heard
        for path in changed:
            if isinstance(path, str | bytes | os.PathLike):
                self.found.append(Path(os.path.realpath(os.fsdecode(path))))


WATCH: list[Watch] = []


def ask(*arguments: object) -> Answer:
    """Runs `limbeck ARGUMENTS` until it answers or would take the first training step."""
    answer, output = Answer(), io.StringIO()
    if not WATCH:
        WATCH.append(Watch())
    with _cut_short(answer), contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        before, sys.argv = sys.argv, ["limbeck", *map(str, arguments)]
        consoles = [(console, console._file) for console in _consoles()]  # None: standard output, whatever that is then
        for console, _ in consoles:
            console.file = output
        began = time.perf_counter() - _waited()
        WATCH[0].found = answer.touched
        try:
            cli.main()
        except SystemExit as stop:
            answer.code = stop.code if isinstance(stop.code, int) else 1
        except Training:
            answer.code = None
        except BaseException:
            answer.crash = traceback.format_exc()
        finally:
            WATCH[0].found = None
            answer.seconds = time.perf_counter() - _waited() - began
            sys.argv = before
            for console, file in consoles:
                console._file = file
    answer.text = output.getvalue()
    if "Traceback (most recent call last)" in answer.text and not answer.crash:
        answer.crash = answer.text
    return answer


def _waited() -> float:
    """Seconds that this thread was ready and other processes had the core, as far as the system counts them."""
    try:
        return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9
    except OSError:
        return 0.0


def _consoles() -> Sequence[Any]:
    from limbeck.cli import shared

    return shared.console, shared.error_console


@contextlib.contextmanager
def _cut_short(answer: Answer) -> Iterator[None]:
    """Stops before the first step of any training and after `TOO_LONG` seconds; notes errors that are not in our words."""
    step, text, show = Run._run_step, command_line._text, warnings.showwarning

    def stop(*_: object) -> int:
        raise Training

    began = time.perf_counter() - _waited()

    def endless(*_: object) -> None:
        if time.perf_counter() - _waited() - began >= TOO_LONG:
            raise Endless(f"no answer within {TOO_LONG} s")
        signal.setitimer(signal.ITIMER_REAL, 1)  # other processes had the core

    def note(error: Exception) -> str:
        frames = traceback.extract_tb(error.__traceback__)
        if f"{os.sep}limbeck{os.sep}" not in frames[-1].filename:
            answer.raw = "".join(traceback.format_exception(error))
        return text(error)

    Run._run_step, command_line._text = stop, note  # type: ignore[method-assign, assignment]
    former = signal.signal(signal.SIGALRM, endless)
    signal.setitimer(signal.ITIMER_REAL, TOO_LONG)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)
        Run._run_step, command_line._text, warnings.showwarning = step, text, show  # type: ignore[method-assign]
