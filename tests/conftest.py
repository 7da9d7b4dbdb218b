"""Plugins that the tests of one file load are not there in the next."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from limbeck.recipe import loaded_plugins
from limbeck.utils import child_processes


@pytest.fixture(autouse=True, scope="module")
def no_plugins_of_other_files() -> Iterator[None]:
    known, calls = list(loaded_plugins), dict(child_processes._first)
    loaded_plugins.clear()
    child_processes._first.clear()
    yield
    loaded_plugins[:] = known
    child_processes._first.clear()
    child_processes._first.update(calls)
