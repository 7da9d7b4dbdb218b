"""Checksums of the files in a folder, by which damage is found before a file is used."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from limbeck.utils.atomic_files import write_atomic

FILE = "checksums.json"


class DamagedFileError(ValueError):
    """A file is not as it was written."""


def write_checksums(folder: Path) -> None:
    """Writes `checksums.json` with a checksum of every file under `folder`."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != FILE)
    write_atomic(folder / FILE, _text({path.relative_to(folder).as_posix(): digest(path) for path in paths}))


def read_checksums(folder: Path) -> dict[str, str]:
    """Returns the checksums in a folder by the relative path of the file; none if it was written without.

    Raises:
        DamagedFileError: the list itself is damaged.
    """
    path = folder / FILE
    if not path.exists():
        return {}
    content = path.read_bytes()
    try:
        files = json.loads(content)["files"]
        intact = _text(files) == content
    except (ValueError, KeyError, TypeError):
        intact = False
    if not intact:
        raise DamagedFileError(f"{path} is damaged, so the files beside it cannot be checked; {_remedy(path)}")
    return dict(files)


def check_files(folder: Path) -> None:
    """Compares every file in a folder with its checksum. Folders without checksums pass, and so do files without one.

    Raises:
        DamagedFileError: a file has changed or is gone.
    """
    for name, expected in read_checksums(folder).items():
        _check(folder / name, expected)


def check_file(path: Path) -> None:
    """Compares one file with its checksum in the folder that it is in, if there is one.

    Raises:
        DamagedFileError: it has changed.
    """
    expected = read_checksums(path.parent).get(path.name)
    if expected is not None:
        _check(path, expected)


def digest(path: Path) -> str:
    """Returns the checksum of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()[:32]


def _check(path: Path, expected: str) -> None:
    if not path.is_file():
        raise DamagedFileError(f"{path} is gone; {_remedy(path)}")
    if digest(path) != expected:
        raise DamagedFileError(f"{path} is damaged: its checksum is not the one of what was written; {_remedy(path)}")


def _remedy(path: Path) -> str:
    return (
        f"copy it from a backup, or delete {path.parent} and let the run write it again with --resume. "
        f"If you changed the file on purpose, delete {path.parent / FILE}"
    )


def _text(files: dict[str, str]) -> bytes:
    own = hashlib.blake2b(json.dumps(files, sort_keys=True).encode(), digest_size=16).hexdigest()
    return (json.dumps({"files": files, "checksum": own}, indent=2, sort_keys=True) + "\n").encode()
