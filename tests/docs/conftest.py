"""Plugins of one test are not those of the next, whose folder is another one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from limbeck.recipe import loaded_plugins


@pytest.fixture(autouse=True)
def no_plugins() -> Iterator[None]:
    known = list(loaded_plugins)
    loaded_plugins.clear()
    yield
    loaded_plugins[:] = known
