"""Files are written whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from limbeck.utils.atomic_files import new_folder, write_atomic


def test_content_replaces_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for content in (b"old", b"new"):
        write_atomic(path, content)
        assert path.read_bytes() == content
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


def test_files_have_the_permissions_of_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_atomic(tmp_path / "file", b"")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_atomic(tmp_path / "file", b"old")

    def fail(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr("limbeck.utils.atomic_files.os.fsync", fail)
    with pytest.raises(OSError, match="no space") as failed:
        write_atomic(tmp_path / "file", b"new")
    assert failed.value.filename == str(tmp_path / "file")
    assert [(one.name, one.read_bytes()) for one in tmp_path.iterdir()] == [("file", b"old")]


def test_a_folder_appears_whole_and_replaces_the_old_one(tmp_path: Path) -> None:
    folder = tmp_path / "student [1]"
    for content in ("old", "new"):
        with new_folder(folder) as draft:
            (draft / content).write_text(content)
            assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == [folder.name] * (
                content == "new"
            )
        assert [path.name for path in folder.iterdir()] == [content]
    assert list(tmp_path.iterdir()) == [folder]


def test_a_failed_folder_leaves_the_old_one_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "student"
    with new_folder(folder) as draft:
        (draft / "old").touch()

    def fail() -> None:
        with new_folder(folder) as draft:
            (draft / "half").touch()
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        fail()
    assert [path.name for path in (*tmp_path.iterdir(), *folder.iterdir())] == ["student", "old"]


def test_drafts_of_killed_processes_go_with_the_next_write_and_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / ".student.x.draft").mkdir()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").touch()
    (tmp_path / "student").symlink_to(tmp_path / "mine")
    with new_folder(tmp_path / "student") as draft:
        (draft / "new").touch()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "student"]
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["file"]
    assert not (tmp_path / "student").is_symlink()
