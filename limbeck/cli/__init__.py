"""The command line: one file a command."""

from limbeck.cli.command_line import app, main
from limbeck.cli.shared import INTERRUPTED, TARGETS_MISSED, USER_ERROR, USER_ERRORS

__all__ = ["INTERRUPTED", "TARGETS_MISSED", "USER_ERROR", "USER_ERRORS", "app", "main"]
