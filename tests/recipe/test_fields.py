"""Recipe files that are no recipes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from limbeck.recipe import RecipeError, read_fields, read_yaml


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xfen\x00a\x00", "is no YAML: 'utf-8' codec"),
        (b"name: a\x00b", "is no YAML"),
        (b"name: !!python/object/apply:os.getcwd []", "is no YAML"),
        (b"--- 1\n--- 2\n", "is no YAML"),
        (b"- 1", "holds list"),
        (b"", "holds NoneType"),
    ],
)
def test_other_content_is_refused_with_the_name_of_the_file(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.yaml").write_bytes(content)
    with pytest.raises(RecipeError, match=rf"a\.yaml {message}"):
        read_fields(tmp_path / "a.yaml")


def test_pipes_and_folders_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    for path, message in ((tmp_path / "pipe.yaml", "no file but a pipe or device"), (tmp_path, "is a folder")):
        with pytest.raises(RecipeError, match=message):
            read_fields(path)


def test_whatever_is_no_yaml_is_an_error_that_users_are_told() -> None:
    with pytest.raises(ValueError, match="while parsing a flow node"):
        read_yaml("{a: ")
