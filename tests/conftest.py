"""What all tests share: a cache folder of their own, and plugins that are not there in the next file."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from limbeck.recipe import loaded_plugins
from limbeck.utils import child_processes
from limbeck.utils.folder_lock import LOCK_FILE


@pytest.fixture(autouse=True, scope="session")
def cache_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The user's own cache folder is neither read nor written."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIMBECK_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def read_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """All folders are as on a disk that is mounted to be read: no lock file can be opened, and nobody may write."""
    really = Path.open

    def refuse(path: Path, mode: str = "r", *given: object, **named: object) -> object:
        if path.name == LOCK_FILE:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        return really(path, mode, *given, **named)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", refuse)
    monkeypatch.setattr(os, "access", lambda path, mode, **_: not mode & os.W_OK)


@pytest.fixture(autouse=True, scope="module")
def no_plugins_of_other_files() -> Iterator[None]:
    known, calls = list(loaded_plugins), dict(child_processes._first)
    loaded_plugins.clear()
    child_processes._first.clear()
    yield
    loaded_plugins[:] = known
    child_processes._first.clear()
    child_processes._first.update(calls)
