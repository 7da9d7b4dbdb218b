"""Fresh Python processes that know what this one has loaded."""

from __future__ import annotations

import sys

_first: dict[str, tuple[str, str, str]] = {}  # by key: module, function and argument of the calls that children make first

_START = """
import importlib, runpy, sys
count = int(sys.argv[1])
for call in range(count):
    module, function, argument = sys.argv[2 + 3 * call : 5 + 3 * call]
    getattr(importlib.import_module(module), function)(argument)
main, sys.argv = sys.argv[2 + 3 * count], sys.argv[2 + 3 * count :]
runpy.run_module(main, run_name="__main__", alter_sys=True)
"""


def call_in_children(module: str, function: str, argument: str, *, key: str) -> None:
    """Lets every later child process begin with this call, such as the loading of a plugin.

    A later call with the same key replaces it.
    """
    _first[key] = (module, function, argument)


def python_command(module: str, *arguments: str) -> list[str]:
    """Returns the command that runs a module as a script (`python -m`) in a fresh process, after the calls for children."""
    if not _first:
        return [sys.executable, "-m", module, *arguments]
    calls = [part for call in _first.values() for part in call]
    return [sys.executable, "-c", _START, str(len(_first)), *calls, module, *arguments]
