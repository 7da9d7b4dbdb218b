"""What one test loads is not there in the next."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from limbeck.recipe import loaded_plugins
from limbeck.utils import child_processes


@pytest.fixture(autouse=True)
def no_plugins() -> Iterator[None]:
    """Plugins of one test are not those of the next, whose folder is another one."""
    known, calls = list(loaded_plugins), dict(child_processes._first)
    loaded_plugins.clear()
    child_processes._first.clear()
    yield
    loaded_plugins[:] = known
    child_processes._first.clear()
    child_processes._first.update(calls)
