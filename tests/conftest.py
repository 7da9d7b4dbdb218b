"""What all tests share: a cache folder of their own, and plugins that are not there in the next file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from limbeck.recipe import loaded_plugins
from limbeck.utils import child_processes


@pytest.fixture(autouse=True, scope="session")
def cache_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The user's own cache folder is neither read nor written."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIMBECK_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True, scope="module")
def no_plugins_of_other_files() -> Iterator[None]:
    known, calls = list(loaded_plugins), dict(child_processes._first)
    loaded_plugins.clear()
    child_processes._first.clear()
    yield
    loaded_plugins[:] = known
    child_processes._first.clear()
    child_processes._first.update(calls)
