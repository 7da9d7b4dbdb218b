"""Errors of other libraries become one line of ours, and our own stay."""

from __future__ import annotations

import json

import pytest

from limbeck.utils.foreign_errors import LibraryError, library_errors, summary
from limbeck.utils.optional_packages import MissingPackageError


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (KeyError("gelu2"), "KeyError: 'gelu2'"),
        (ValueError("a\n   b"), "a b"),
        (ValueError(""), "ValueError: "),
        (RuntimeError("x" * 1000), f"RuntimeError: {'x' * 299}…"),
    ],
)
def test_summary(error: Exception, said: str) -> None:
    assert summary(error) == said


def test_errors_of_libraries_are_named() -> None:
    with pytest.raises(LibraryError, match=r"^x.json cannot be read: Expecting value"), library_errors("x.json cannot be read"):
        json.loads("")
    with pytest.raises(LibraryError, match=r"^doing: AssertionError: odd"), library_errors("doing"):
        raise AssertionError("odd")


@pytest.mark.parametrize("kind", [MissingPackageError, FileNotFoundError, LibraryError])
def test_what_is_told_already_stays(kind: type[Exception]) -> None:
    with pytest.raises(kind, match=r"^told$"), library_errors("doing"):
        raise kind("told")
    with pytest.raises(OSError, match="No space"), library_errors("doing"):
        raise OSError(28, "No space left on device")
