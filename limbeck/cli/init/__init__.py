"""`limbeck init`: from a user's own model and data to a recipe that fits them."""

from limbeck.cli.init.create import InitOptions, create_recipe, parse_args
from limbeck.cli.init.questions import InitError, Questions

__all__ = ["InitError", "InitOptions", "Questions", "create_recipe", "parse_args"]
