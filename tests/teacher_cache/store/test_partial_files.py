"""Half-written files of killed writers."""

from __future__ import annotations

from pathlib import Path

from limbeck.teacher_cache.store.partial_files import find_partial_files, remove_partial_files
from tests.teacher_cache import examples


def test_only_files_of_the_writer_are_found_and_removed(tmp_path: Path) -> None:
    examples.build(tmp_path, examples.keys(5))
    whole = examples.content(tmp_path)
    (tmp_path / "journal").mkdir()
    partial = [
        tmp_path / ".manifest.json.a1b2",
        tmp_path / "segments" / "000" / ".0001-00002.safetensors.xyz",
        tmp_path / "journal" / ".0000-000001.safetensors.k_3",
    ]
    for path in (*partial, tmp_path / ".notes.txt.a1b2"):
        path.write_bytes(b"half")
    assert sorted(find_partial_files(tmp_path)) == sorted(partial)
    remove_partial_files(tmp_path)
    (tmp_path / ".notes.txt.a1b2").unlink()
    assert examples.content(tmp_path) == whole
