"""A checkpoint is whole or not there, whatever happens while it is written."""

from __future__ import annotations

import errno
import json
import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from limbeck.engine import checkpoint
from limbeck.engine.checkpoint import FILE, CheckpointError, Checkpoints, load_checkpoint, save_checkpoint
from limbeck.engine.finite_check import NonFiniteError


def state(value: float = 1.0) -> dict[str, Any]:
    shared = torch.full((3,), value)
    return {
        "clock": {"step": 3, "best": None, "finished": False},
        "actors": {"student": {"w": shared, "tied": shared, "seen": torch.tensor(7), "none": torch.zeros(0)}},
        "updates": [{"optimizers": {"student": {"state": {0: {"step": torch.tensor(2.0)}}, "betas": [0.9, 0.999]}}}],
        "a/b": torch.ones(1),
        "a": {"b": torch.zeros(1)},
        "transposed": torch.arange(6.0).view(2, 3).T,
    }


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "one", state())
    found = load_checkpoint(tmp_path / "one")
    assert found["clock"] == state()["clock"]
    assert torch.equal(found["actors"]["student"]["tied"], torch.ones(3))
    assert found["actors"]["student"]["seen"].dtype == torch.int64
    assert found["updates"][0]["optimizers"]["student"]["state"][0]["step"] == 2  # the key is a number again
    assert (found["a/b"].item(), found["a"]["b"].item()) == (1, 0)
    assert torch.equal(found["transposed"], state()["transposed"])


def test_the_newest_two_are_kept(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path)
    assert kept.newest() is None
    for update in (5, 10, 100):
        kept.save(update, state(update))
    assert [place.name for place in kept.found()] == ["step-000000010", "step-000000100"]
    newest = kept.newest()
    assert newest is not None
    assert newest["actors"]["student"]["w"][0] == 100
    kept.save(7, state(7))  # begun anew in the same folder: what the other training left is later, and gone
    assert [place.name for place in kept.found()] == ["step-000000007"]


def fail_in(monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if where == "save_file":
        monkeypatch.setattr(checkpoint, "save_file", full)
    else:
        monkeypatch.setattr(os, where, full)


@pytest.mark.parametrize("where", ["save_file", "fsync", "replace"])
def test_a_full_disk_leaves_the_checkpoint_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    kept = Checkpoints(tmp_path)
    kept.save(5, state(5))
    with monkeypatch.context() as patched:
        fail_in(patched, where)
        with pytest.raises(CheckpointError, match=r"step-000000010.*No space left.*make room.*--resume"):
            kept.save(10, state(10))
        with pytest.raises(CheckpointError):
            kept.save(5, state(6))  # over the very one that is there
    newest = kept.newest()
    assert newest is not None
    assert newest["actors"]["student"]["w"][0] == 5
    assert [path.name for path in tmp_path.rglob("*")] == ["step-000000005", FILE]  # nothing half written


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    try:
        mounted = (
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", place], capture_output=True).returncode == 0
        )
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("needs the right to mount a file system")
    yield place
    subprocess.run(["umount", place], check=True)


def test_a_disk_that_is_really_full(small_disk: Path) -> None:
    kept = Checkpoints(small_disk)
    kept.save(1, state())
    with pytest.raises(CheckpointError, match="No space left"):
        kept.save(2, {"actors": {"student": {"w": torch.zeros(100_000)}}})
    assert [place.name for place in kept.found()] == ["step-000000001"]
    assert kept.newest() is not None


def test_what_a_killed_process_left_is_no_checkpoint(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path)
    kept.save(5, state(5))
    (tmp_path / "step-000000010").mkdir()
    (tmp_path / "step-000000010" / f".{FILE}").write_bytes(b"half")
    newest = kept.newest()
    assert newest is not None
    assert newest["actors"]["student"]["w"][0] == 5
    kept.save(10, state(10))
    assert kept.found()[-1].name == "step-000000010"
    kept.save(15, state(15))
    assert len(list(tmp_path.iterdir())) == 2


def test_a_truncated_one_falls_back_to_the_one_before(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path)
    kept.save(5, state(5))
    file = kept.save(10, state(10)) / FILE
    file.write_bytes(file.read_bytes()[:-8])
    with pytest.warns(UserWarning, match=r"step-000000010.*damaged.*from the checkpoint before"):
        newest = kept.newest()
    assert newest is not None
    assert newest["actors"]["student"]["w"][0] == 5
    (tmp_path / "step-000000005" / FILE).write_bytes(b"")
    with pytest.warns(UserWarning, match="damaged"), pytest.raises(CheckpointError, match=r"damaged.*Delete .*to start"):
        kept.newest()


def test_every_flipped_bit_is_found_and_the_file_named(tmp_path: Path) -> None:
    kept, drawn = Checkpoints(tmp_path), random.Random(0)
    kept.save(5, state(5))
    file = kept.save(10, state(10)) / FILE
    content = file.read_bytes()
    places = [*range(8), *(drawn.randrange(len(content)) for _ in range(200)), *range(len(content) - 8, len(content))]
    for place in places:
        file.write_bytes(content[:place] + bytes([content[place] ^ (1 << drawn.randrange(8))]) + content[place + 1 :])
        with pytest.warns(UserWarning, match=rf"step-000000010/{FILE} is damaged.*from the checkpoint before"):
            newest = kept.newest()
        assert newest is not None
        assert newest["actors"]["student"]["w"][0] == 5


def test_checkpoints_from_before_checksums_are_read_and_missing_checksums_noticed(tmp_path: Path) -> None:
    described = {"format": 2, "state": {"w": {"__tensor__": "0/w"}}}
    save_file({"0/w": torch.ones(1)}, tmp_path / FILE, metadata={"limbeck": json.dumps(described)})
    assert load_checkpoint(tmp_path)["w"] == 1
    save_file({"0/w": torch.ones(1)}, tmp_path / FILE, metadata={"limbeck": json.dumps(described | {"format": 3})})
    with pytest.raises(CheckpointError, match="no checksum"):
        load_checkpoint(tmp_path)


def test_foreign_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(tmp_path)
    save_file({"w": torch.zeros(1)}, tmp_path / FILE)
    with pytest.raises(CheckpointError, match="no checkpoint of a run"):
        load_checkpoint(tmp_path)
    save_file({"w": torch.zeros(1)}, tmp_path / FILE, metadata={"limbeck": '{"format": 99}'})
    with pytest.raises(CheckpointError, match="format 99; this version reads format 3"):
        load_checkpoint(tmp_path)


def test_weights_that_are_nan_never_replace_good_ones(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path)
    kept.save(5, state(5))
    with pytest.raises(NonFiniteError, match=r"w of the student holds NaN at step 10"):
        kept.save(10, state(float("nan")))
    assert [place.name for place in kept.found()] == ["step-000000005"]
    kept.save(10, state() | {"updates": [{"criterion": {"unset": torch.tensor(float("nan"))}}]})  # only models must be numbers
