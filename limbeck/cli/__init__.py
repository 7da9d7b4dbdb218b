"""The command line."""

from limbeck.cli.commands import app, built_in, find_recipe, main

__all__ = ["app", "built_in", "find_recipe", "main"]
