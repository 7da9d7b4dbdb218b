"""WebDataset shards: samples in tar files."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import tarfile
from pathlib import Path
from typing import Any

import pytest
import torch

from limbeck.data import load_fields, load_items
from limbeck.data.archive_member import ArchiveMember
from limbeck.data.image import inspect
from limbeck.recipe.schema.data import DatasetSpec
from tests.data.audio.sounds import tone, wav
from tests.data.loading.files import CELLS, EXPECTED, everything, targets

IMAGES = [cell["bytes"] for cell in CELLS]


def shard(path: Path, members: dict[str, bytes | str], form: int = tarfile.PAX_FORMAT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=form) as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            data = content.encode() if isinstance(content, str) else content
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def samples(first: int, count: int) -> dict[str, bytes | str]:
    found: dict[str, bytes | str] = {}
    for row in range(first, first + count):
        found |= {f"{row:05d}.png": IMAGES[row], f"{row:05d}.cls": f"{row % 3}\n"}
    return found


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """Six images of three classes in three shards."""
    for number, form in enumerate((tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT)):
        shard(tmp_path / "set" / f"train-{number:06d}.tar", samples(2 * number, 2), form)
    return tmp_path / "set"


def test_shards_by_folder_split_and_pattern(shards: Path) -> None:
    names = (shards, f"{shards}/train-{{000000..000002}}.tar", shards / "*.tar", shards / "train-00000?.tar")
    for name in names:
        items = load_items(name)
        assert torch.equal(everything(items), EXPECTED)
        assert targets(items) == [0, 1, 2, 0, 1, 2]
    shard(shards / "test-0.tar", samples(4, 2))
    assert len(load_items(shards, split="train")) == 6
    assert len(load_items(shards / "test-0.tar")) == 2
    with pytest.raises(ValueError, match="no split was named; set `split` to one of: test, train"):
        load_items(shards)
    with pytest.raises(FileNotFoundError, match=r"no such shard: .*train-000003.tar, nor 1 more"):
        load_items(f"{shards}/train-{{000000..000004}}.tar")
    spec = DatasetSpec.model_validate({"path": f"{shards}/train-{{000000..000002}}.tar", "limit": 3})
    assert targets(spec.load()) == [0, 1, 2]


def test_keys_are_those_of_the_same_images_elsewhere(shards: Path, tmp_path: Path) -> None:
    for row, image in enumerate(IMAGES):
        place = tmp_path / "images" / str(row % 3) / f"{row}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(image)
    assert set(load_items(shards).keys.tolist()) == set(load_items(tmp_path / "images").keys.tolist())


def test_a_second_start_reads_no_image(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for path in shards.iterdir():
        os.utime(path, (0, 0))
    expected = load_items(shards)
    monkeypatch.setattr(inspect, "inspect_image", lambda *_, **__: pytest.fail("it is read again"))
    assert load_items(shards).fingerprint() == expected.fingerprint()


def test_a_member_is_read_from_its_place(shards: Path) -> None:
    with tarfile.open(shards / "train-000000.tar") as archive:
        places = [ArchiveMember(str(archive.name), each.name, each.offset_data, each.size) for each in archive]
    assert pickle.loads(pickle.dumps(places[0])).read() == IMAGES[0]
    assert places[1].read() == b"0\n"


def test_names_texts_json_and_sounds(tmp_path: Path) -> None:
    members: dict[str, bytes | str] = {}
    for row, name in enumerate(("dog", "cat", "dog")):
        about = {"year": 2000 + row, "label": "unused", "exif": {"iso": row}, "odd": row if row else "none"}
        members |= {f"a/{row}.jpg": IMAGES[row], f"a/{row}.cls": name, f"a/{row}.json": json.dumps(about)}
        members |= {f"a/{row}.caption.txt": f"a {name}", f"a/{row}.wav": wav(tone(300 + 100 * row)), f"a/{row}.npy": b""}
    with pytest.warns(UserWarning, match=r"members that are not read: 3 .npy"):
        items = load_items(shard(tmp_path / "a.tar", members), input="image", where={"year": [2001, 2002]})
    assert items.class_names == ["cat", "dog"]
    assert targets(items) == [0, 1]
    with pytest.warns(UserWarning, match="npy"):
        captions = load_items(tmp_path / "a.tar", input="caption", label="label")
    with pytest.warns(UserWarning, match="npy"):
        fields = load_fields(tmp_path / "a.tar", {"wave": {"audio": {"column": "audio"}}, "image": "image"}, {})
    assert everything(captions) == ["a dog", "a cat", "a dog"]
    assert len(fields) == 3


def test_samples_with_different_parts(tmp_path: Path) -> None:
    members = samples(0, 3)
    del members["00001.cls"]
    with pytest.warns(UserWarning, match="of 3 samples 1 without 'label'"):
        assert targets(load_items(shard(tmp_path / "a.tar", members))) == [0, -100, 2]
    members = samples(0, 3)
    del members["00001.png"]
    path = shard(tmp_path / "b.tar", members)
    with pytest.warns(UserWarning, match="1 without 'image'"), pytest.raises(ValueError, match="row 1: the cell is empty"):
        load_items(path)
    with pytest.warns(UserWarning, match="1 without 'image'|left out"):
        assert targets(load_items(path, on_error="skip")) == [0, 2]
    (tmp_path / "odd").mkdir()
    twice = [("0.png", IMAGES[0]), ("1.png", IMAGES[1]), ("0.cls", b"1")]
    with pytest.raises(ValueError, match="the parts of the sample '0' do not follow one another"):
        load_items(shard(tmp_path / "odd" / "c.tar", dict(twice)))
    with pytest.raises(ValueError, match=r"the sample '0' has 'image' twice, the second time in 0.jpg"):
        load_items(shard(tmp_path / "odd" / "d.tar", {"0.png": IMAGES[0], "0.jpg": IMAGES[1]}))


def test_damaged_and_compressed_shards(tmp_path: Path) -> None:
    content = shard(tmp_path / "a.tar", samples(0, 4)).read_bytes()
    headers = [place for place in range(0, len(content), 512) if content[place : place + 5].isdigit()]
    for cut in (headers[6], headers[6] + 5, headers[6] + 512, headers[7] + 520):
        (tmp_path / "cut.tar").write_bytes(content[:cut])
        with pytest.raises(ValueError, match=r"cut.tar: the shard is damaged or cut off"):
            load_items(tmp_path / "cut.tar")
        with pytest.warns(UserWarning, match="damaged or cut off"):
            found = load_items(tmp_path / "cut.tar", on_error="skip", label=False)
        assert len(found) == (3 if cut < headers[7] else 4)
    for name, data in (("b.tar", b"no archive" * 100), ("empty.tar", b"")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ValueError, match="damaged or cut off"):
            load_items(tmp_path / name, on_error="skip")
    for name in ("c.tar", "c.tar.gz"):
        (tmp_path / name).write_bytes(gzip.compress(content))
        with pytest.raises(ValueError, match=r"it is compressed \(gzip\), .*; decompress it"):
            load_items(tmp_path / name)
    broken: dict[str, Any] = {"0.png": IMAGES[0], "0.cls": "0", "1.png": b"no image", "1.cls": "1"}
    with pytest.raises(ValueError, match=r"the first at .*d.tar: 1.png"):
        load_items(shard(tmp_path / "d.tar", broken))
    with pytest.raises(ValueError, match=r"0.json cannot be read as JSON"):
        load_items(shard(tmp_path / "e.tar", {"0.png": IMAGES[0], "0.json": "{"}))
