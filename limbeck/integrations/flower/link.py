"""The link of a server on real machines: started with TLS, its clients admitted by their keys, ended with all it started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

from rich.console import Console

from limbeck.integrations.flower.deployment import CA, flower_environment, register_command, superlink_command, write_connection

PATIENCE = 120.0  # seconds in which the link must answer


def serve_link(keys: Path, host: str, port: int, home: Path, console: Console) -> int:
    """Starts the link, admits the clients whose public keys are in `keys`, and waits until it ends or Ctrl-C.

    Args:
        home: where Flower keeps its configuration.

    Returns:
        the exit code of the link.
    """
    command = superlink_command(keys, host, port)
    write_connection(home, f"{host}:{port}", keys / CA)
    process = start(command, home)
    end_as_by_ctrl_c()
    try:
        for public in sorted(keys.glob("client-*.pub")):
            console.print(f"{public.name}: {admit(public, home, process)}", markup=False, soft_wrap=True)
        console.print(f"clients and runs connect with --superlink {host}:{port}", markup=False, soft_wrap=True)
        return process.wait()
    except KeyboardInterrupt:
        return 0
    finally:
        stop(process)


def take_part(command: list[str], home: Path, public_key: Path) -> None:
    """Runs a client's node until it ends or Ctrl-C.

    Raises:
        RuntimeError: the link did not admit the client, or does not answer.
    """
    process = start(command, home)
    end_as_by_ctrl_c()
    try:
        code = process.wait()
    except KeyboardInterrupt:
        return
    finally:
        stop(process)
    if code != 0:
        raise RuntimeError(
            f"the client's node has ended (exit code {code}): the link turned it away, or does not answer. Is "
            f"{public_key.name} among the public keys with which the server was started? Are --superlink and --ca those "
            "of this server?"
        )


def end_as_by_ctrl_c() -> None:
    """Makes a signal to terminate end this process as Ctrl-C does, so that it does not leave Flower's programs behind."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    for sign in (signal.SIGINT, signal.SIGTERM):  # a shell lets its background jobs ignore the first
        signal.signal(sign, interrupt)


def start(command: list[str], home: Path, log: Path | None = None) -> subprocess.Popen[bytes]:
    """Starts one of Flower's programs in a process group of its own, so that `stop` ends all that it starts."""
    with contextlib.nullcontext() if log is None else log.open("wb") as output:
        return subprocess.Popen(command, env=flower_environment(home), stdout=output, stderr=output, start_new_session=True)


def admit(public_key: Path, home: Path, link: subprocess.Popen[bytes]) -> str:
    """Registers a client's public key; the link may still be starting.

    Raises:
        RuntimeError: the link has ended or does not answer.
    """
    until = time.monotonic() + PATIENCE
    while True:
        done = subprocess.run(register_command(public_key), env=flower_environment(home), capture_output=True, text=True)
        told = done.stdout + done.stderr
        if done.returncode == 0:
            return "registered"
        if "already" in told.lower():
            return "is registered already"
        if link.poll() is not None or time.monotonic() > until:
            raise RuntimeError(f"the link does not admit {public_key.name}: {told.strip()[-300:]}")
        time.sleep(1)


def stop(process: subprocess.Popen[bytes], patience: float = 5.0) -> None:
    """Ends a program and all processes of its group, also those that its own children have left."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sign)
        except ProcessLookupError:
            return
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            continue
