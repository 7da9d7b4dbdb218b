"""One process at a time works in a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from limbeck.utils.folder_lock import FolderInUseError, is_locked, lock_folder


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
