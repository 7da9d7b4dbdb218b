"""All pages that no file holds, and the parts of the navigation that list them."""

from __future__ import annotations

from typing import Any

from docs.generate import api, command_line, decisions, methods, recipes

GENERATORS = (methods, command_line, recipes, api, decisions)
LISTS = {"methods/": methods.nav, "reference/api/": api.nav, "decisions/": decisions.nav}  # folders that the navigation names


def pages() -> dict[str, str]:
    """Address to Markdown."""
    return {address: text for generator in GENERATORS for address, text in generator.pages().items()}


def navigation(entry: Any) -> Any:
    """The navigation with folders replaced by their pages."""
    if isinstance(entry, list):
        return [navigation(one) for one in entry]
    if isinstance(entry, dict):
        return {title: navigation(one) for title, one in entry.items()}
    return LISTS[entry]() if entry in LISTS else entry
