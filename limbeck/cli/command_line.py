"""The command line: the commands in the order of `limbeck --help`, and `main`."""

from __future__ import annotations

import os
import sys
import warnings

import typer

from limbeck.cli.cache import cache
from limbeck.cli.cite import cite
from limbeck.cli.compare import compare
from limbeck.cli.distill import distill
from limbeck.cli.evaluate import evaluate
from limbeck.cli.export import export
from limbeck.cli.federate import federate
from limbeck.cli.init.command import init
from limbeck.cli.methods import methods
from limbeck.cli.profile import profile
from limbeck.cli.recipes import recipes
from limbeck.cli.report import report
from limbeck.cli.runs import runs
from limbeck.cli.schema import schema
from limbeck.cli.shared import USER_ERROR, USER_ERRORS, error_console
from limbeck.cli.version import version
from limbeck.utils.allocator import keep_freed_memory

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Knowledge distillation: a small student from a large teacher, with the gain measured against a control.",
)
for command in (
    distill,
    evaluate,
    compare,
    init,
    runs,
    cite,
    export,
    profile,
    report,
    methods,
    recipes,
    schema,
    version,
):
    app.command()(command)
app.add_typer(cache, name="cache")
app.add_typer(federate, name="federate")


def main() -> None:
    """Runs the command line. Errors that a user can fix are printed as one message, without a traceback."""
    warnings.showwarning = _print_warning
    keep_freed_memory()
    code: int | str | None = 0
    try:
        app([_with_home(argument) for argument in sys.argv[1:]])
    except SystemExit as stop:
        code = stop.code
    except Exception as error:
        if not isinstance(error, USER_ERRORS) and not _is_disk_full(error):
            raise
        error_console.print("error:", style="bold red", end=" ")
        error_console.print(_text(error), markup=False, highlight=False, soft_wrap=True)
        code = USER_ERROR
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and (isinstance(code, int) or code is None):
        from limbeck.utils.distributed import exit_process

        exit_process(code or 0)
    sys.exit(code)


def _with_home(argument: str) -> str:
    """Replaces `~` where shells leave it: in `--out=~/run`, and within quotes."""
    option, equals, value = argument.partition("=") if argument.startswith("--") else ("", "", argument)
    return f"{option}{equals}{os.path.expanduser(value)}"


def _is_disk_full(error: Exception) -> bool:
    from limbeck.utils.disk_full import is_disk_full

    return is_disk_full(error)


def _text(error: Exception) -> str:
    from limbeck.recipe.errors import user_message

    return user_message(error)


def _print_warning(message: Warning | str, *_: object, **__: object) -> None:
    if int(os.environ.get("RANK", "0")) > 0:  # what several processes do, the first one warns of
        return
    error_console.print("warning:", style="yellow", end=" ")
    error_console.print(str(message), markup=False, highlight=False, soft_wrap=True)
