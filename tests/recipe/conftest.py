"""A small teacher of texts and its data."""

from tests.runs.test_text_runs import place  # noqa: F401
