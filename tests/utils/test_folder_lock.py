"""One process at a time works in a folder."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest

from limbeck.utils.folder_lock import FolderInUseError, ReadOnlyFolderError, is_locked, lock_folder


def test_a_lock_excludes_others_until_it_is_released(tmp_path: Path) -> None:
    assert not is_locked(tmp_path)
    with lock_folder(tmp_path):
        assert is_locked(tmp_path)
        with pytest.raises(FolderInUseError, match="another process is at work in it; wait for it"), lock_folder(tmp_path):
            pass
        assert is_locked(tmp_path)
    assert not is_locked(tmp_path)
    with lock_folder(tmp_path):
        pass


def test_an_error_releases_the_lock(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="inside"), lock_folder(tmp_path):
        raise RuntimeError("inside")
    assert not is_locked(tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a lock can only be seen by taking it")
def test_asking_takes_no_lock_away(tmp_path: Path) -> None:
    (tmp_path / ".lock").touch()
    ended = threading.Event()

    def ask() -> None:
        while not ended.is_set():
            is_locked(tmp_path)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        for _ in range(2_000):
            with lock_folder(tmp_path):  # raises FolderInUseError if `is_locked` holds a lock for a moment
                pass
    finally:
        ended.set()
        asking.join()


def test_a_lock_file_that_cannot_be_opened_is_no_lock(tmp_path: Path) -> None:
    (tmp_path / ".lock").symlink_to(tmp_path / ".lock")
    assert not is_locked(tmp_path)


def test_a_folder_that_cannot_be_written_cannot_be_locked(tmp_path: Path, read_only: None) -> None:
    with pytest.raises(ReadOnlyFolderError, match="this folder cannot be written"), lock_folder(tmp_path):
        pass
