"""A full disk is recognised in the words of every library that writes files, and told with path and remedy."""

from __future__ import annotations

import errno
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from limbeck.utils.disk_full import DiskFullError, explain_disk_full, is_disk_full

WRITERS = """
import json, sys
from pathlib import Path
import numpy, torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models
from limbeck.utils.atomic_files import write_atomic
from limbeck.utils.disk_full import explain_disk_full, is_disk_full

place, many = Path(sys.argv[1]), torch.zeros(100_000)
words = Tokenizer(models.WordLevel({f"word{number}": number for number in range(20_000)}, "word0"))
found = {}
for name, write in {
    "safetensors": lambda path: save_file({"a": many}, path),
    "torch": lambda path: torch.save(many, path),
    "tokenizers": lambda path: words.save(str(path)),
    "numpy": lambda path: numpy.save(path, many.numpy()),
    "python": lambda path: path.write_bytes(bytes(400_000)),
    "limbeck": lambda path: write_atomic(path, bytes(400_000)),
}.items():
    try:
        with explain_disk_full(place, "Make room"):
            write(place / "file")
    except Exception as error:
        found[name] = [type(error).__name__, str(error)]
    for path in place.iterdir():
        path.unlink()
print(json.dumps(found))
"""


def small_disk(folder: Path, script: str) -> subprocess.CompletedProcess[str]:
    """Runs a script in a namespace of its own, where `folder` is a file system of 100 kB."""
    mount = 'mount -t tmpfs -o size=100k tmpfs "$1" && exec "$2" -c "$3" "$1"'
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh", str(folder), sys.executable, script]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_what_the_libraries_say_of_a_full_disk(tmp_path: Path) -> None:
    pytest.importorskip("tokenizers")
    if shutil.which("unshare") is None or small_disk(tmp_path, "").returncode != 0:
        pytest.skip("this system does not let a test mount a small disk")
    answer = small_disk(tmp_path, WRITERS)
    assert answer.returncode == 0, answer.stderr
    found = json.loads(answer.stdout)
    assert set(found) == {"safetensors", "torch", "tokenizers", "numpy", "python", "limbeck"}
    for name, (kind, said) in found.items():
        assert kind == "DiskFullError", name
        assert f"{tmp_path}" in said, name
        assert "the disk is full (" in said, name
        assert said.endswith(". Make room"), name


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "x"),
        OSError(errno.EDQUOT, "x"),
        OSError(errno.EFBIG, "x"),
        RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed"),
        Exception("No space left on device (os error 28)"),
    ],
)
def test_full_disks(error: Exception) -> None:
    assert is_disk_full(error)
    outer = ValueError("export failed")
    outer.__cause__ = error
    assert is_disk_full(outer)


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOENT, "x"), ValueError("No space in the name"), RuntimeError("unexpected pos")]
)
def test_other_errors(error: Exception) -> None:
    assert not is_disk_full(error)
    with pytest.raises(type(error)), explain_disk_full(Path(), "Make room"):
        raise error


def test_what_is_explained_is_not_explained_again(tmp_path: Path) -> None:
    with pytest.raises(DiskFullError, match=r"^first$"), explain_disk_full(tmp_path), explain_disk_full(tmp_path):
        raise DiskFullError("first")


def test_the_path_of_the_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DiskFullError, match=r"^/data/x: the disk is full.*same command again$"), explain_disk_full(tmp_path):
        raise OSError(errno.ENOSPC, "No space left on device", "/data/x")
