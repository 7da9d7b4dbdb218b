"""`limbeck version`."""

from __future__ import annotations


def version() -> None:
    """The version."""
    from importlib.metadata import version as installed_version

    print(installed_version("limbeck"))
