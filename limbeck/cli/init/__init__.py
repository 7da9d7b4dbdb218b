"""`limbeck init`: from a user's own model and data to a recipe that fits them."""

from limbeck.cli.init.begin import Wishes, arguments, begin
from limbeck.cli.init.questions import InitError, Questions

__all__ = ["InitError", "Questions", "Wishes", "arguments", "begin"]
